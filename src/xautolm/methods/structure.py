"""The parts of a model that methods freeze, train and adapt, found by structure: stacks, blocks, final norms, heads.

Names differ from family to family and matching them goes wrong quietly (method.md, weakness 27); what a block is does
not: the largest list of modules of a stack.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

#: Names of the norm after a stack's last block, beside the list of the blocks (GPT-2, Llama, ModernBERT, T5, Phi,
#: MPT, mBART). Norms with other names stand before the blocks (BART's `layernorm_embedding`).
_FINAL_NORMS = ("ln_f", "norm", "final_norm", "final_layer_norm", "final_layernorm", "norm_f", "layer_norm")


@dataclass(frozen=True, slots=True)
class Stack:
    """An encoder or a decoder.

    Attributes:
        blocks: its transformer blocks in order; ALBERT has one, which it uses again and again.
        final_norm: the norm after the last block, where there is one.
    """

    blocks: list[nn.Module]
    final_norm: nn.Module | None


def base_encoder(module: nn.Module) -> nn.Module:
    """The pretrained part of a model with a head; an encoder-decoder that writes text is its own."""
    base = getattr(module, "base_model", None)
    return base if isinstance(base, nn.Module) else module


def stacks(module: nn.Module) -> list[Stack]:
    """The stacks of a model, the encoder first where there are two."""
    base = base_encoder(module)
    both = [getattr(base, name, None) for name in ("encoder", "decoder")]
    has_two = bool(getattr(base.config, "is_encoder_decoder", False)) and all(isinstance(m, nn.Module) for m in both)
    return [_stack(part) for part in (both if has_two else [base])]


def blocks(module: nn.Module) -> list[nn.Module]:
    """The transformer blocks of all stacks, those of the encoder first."""
    return [block for stack in stacks(module) for block in stack.blocks]


def last_blocks(module: nn.Module, n: int) -> list[nn.Module]:
    """The last n blocks with the final norm of every stack that they belong to.

    In an encoder-decoder they are taken from the end of the decoder, and when it has no more, from the end of the
    encoder: the order in which a gradient reaches them.
    """
    found: list[nn.Module] = []
    for stack in reversed(stacks(module)):
        taken = stack.blocks[max(len(stack.blocks) - n, 0) :] if n > 0 else []
        n -= len(taken)
        found += taken
        if taken and stack.final_norm is not None:
            found.append(stack.final_norm)
    return found


def head_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Parameters of a fresh head, and a pooler that stands between it and the pretrained part.

    A language-model head is none of them: it is pretrained, and in most models it is the table of embeddings.
    """
    base = base_encoder(module)
    pooler = getattr(base, "pooler", None)
    pooled = {id(p) for p in pooler.parameters()} if isinstance(pooler, nn.Module) else set()
    pretrained = {id(p) for p in base.parameters()} - pooled
    output = module.get_output_embeddings() if isinstance(module, PreTrainedModel) else None
    if output is not None:
        pretrained |= {id(p) for p in output.parameters()}
    return [p for p in module.parameters() if id(p) not in pretrained]


def final_linear(module: nn.Module, n_outputs: int) -> nn.Linear:
    """The last linear layer, whose outputs are the logits."""
    layers = [m for m in module.modules() if isinstance(m, nn.Linear) and m.out_features == n_outputs]
    return layers[-1]


def _stack(part: nn.Module) -> Stack:
    """The largest outermost list of modules of an encoder or decoder, with the norm beside it."""
    lists = [module for module in part.modules() if isinstance(module, nn.ModuleList) and len(module)]
    nested = {id(inner) for outer in lists for inner in outer.modules() if inner is not outer}
    outermost = [module for module in lists if id(module) not in nested]
    found = max(outermost, key=lambda module: sum(p.numel() for p in module.parameters()))
    owner = next(module for module in part.modules() if any(child is found for child in module.children()))
    norms = [getattr(owner, name, None) for name in _FINAL_NORMS]
    return Stack(list(found), next((norm for norm in norms if isinstance(norm, nn.Module)), None))
