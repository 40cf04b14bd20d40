"""Less memory, same training: micro-batches and checkpointing give the whole batch's gradient; peaks come first."""

from dataclasses import replace

import pytest
import torch
from transformers import TrainerCallback

from xautolm.evaluate import training
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.loss import BatchTrainer, CrossEntropy, allocate_optimizer_state
from xautolm.evaluate.rescue import smaller
from xautolm.evaluate.training import evaluate_pipeline, training_arguments
from xautolm.methods.classifier import checkpoint_activations, load_classifier
from xautolm.space.catalogue import read_model

PARAMS = {"batch_size": 8, "epochs": 1, "learning_rate": 1e-2, "weight_decay": 0.0, "warmup_ratio": 0.0}
#: 19 rows: a batch of 8, another, and one of 3 rows that no micro-batch but 1 divides.
LENGTHS = [3, 9, 4, 30, 5, 6, 12, 7, 20, 8, 3, 4, 11, 15, 5, 6, 25, 7, 9]


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return len(LENGTHS)

    def __getitem__(self, i):
        ids = [(7 * i + j) % 60 + 5 for j in range(LENGTHS[i])]
        return {"input_ids": ids, "types": [0] * len(ids), "labels": int(i % 3 == 0)}


class Steps(TrainerCallback):
    """Keeps the gradient of every step."""

    def __init__(self):
        self.gradients = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        self.gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))


def gradients(path, folder, weights, settings, *, batches=None):
    """Gradients of the steps of one epoch in fp32, without clipping."""
    spec = read_model(path, path.name)
    torch.manual_seed(0)
    module = load_classifier(spec, spec.poolings[0], 2, 0.0)
    if settings.get("gradient_checkpointing"):
        checkpoint_activations(module)
    arguments = training_arguments({**PARAMS, **settings}, {"seed": 3}, JobFolder(folder), torch.device("cpu"))
    steps = Steps()
    collator = training_collator(spec)

    def collate(rows):
        if batches is not None:
            batches.append([len(row["input_ids"]) for row in rows])
        return collator(rows)

    BatchTrainer(
        model=module,
        args=replace(arguments, max_grad_norm=0.0, bf16=False),
        data_collator=collate,
        train_dataset=Rows(),
        compute_loss_func=CrossEntropy(weights),
        callbacks=[steps],
    ).train()
    return steps.gradients


def training_collator(spec):
    from xautolm.evaluate.batches import collator_for

    return collator_for(spec)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.7, 1.9])], ids=["plain", "weighted"])
@pytest.mark.parametrize("family", ["tiny_bert", "tiny_gpt2"])
def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path, request, family, weights):
    path = request.getfixturevalue(family)
    whole = gradients(path, tmp_path, weights, {})
    assert len(whole) == 3
    for settings in (
        {"micro_batch_size": 4},
        {"micro_batch_size": 2},
        {"micro_batch_size": 1, "gradient_checkpointing": True},
    ):
        parts = gradients(path, tmp_path, weights, settings)
        # Later steps stand on weights that have moved, by rounding, to slightly different places.
        assert [len(parts), len(parts[0])] == [3, len(whole[0])]
        for mine, theirs, tolerance in zip(parts, whole, (1e-5, 1e-3, 1e-3), strict=True):
            assert torch.linalg.norm(mine - theirs) <= tolerance * torch.linalg.norm(theirs)


def test_the_mean_of_micro_batches_would_not_be_the_gradient_of_the_batch():
    """What the class guards against: with weights, the library's own division by rows is wrong."""
    loss = CrossEntropy(torch.tensor([1.0, 9.0]))
    logits, labels = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.0]]), torch.tensor([0, 0, 1, 0])
    whole = loss({"logits": logits}, labels)
    halves = [({"logits": logits[i : i + 2]}, labels[i : i + 2]) for i in (0, 2)]
    total = loss.weight_of(labels)
    assert sum(loss(*half, total) for half in halves) == pytest.approx(float(whole))
    assert sum(loss(*half) for half in halves) / 2 != pytest.approx(float(whole), rel=0.05)


@pytest.mark.parametrize("micro", [8, 2])
def test_the_longest_row_is_in_the_first_batch(tmp_path, tiny_bert, micro):
    batches = []
    gradients(tiny_bert, tmp_path, None, {"micro_batch_size": micro}, batches=batches)
    assert max(batches[0]) == max(LENGTHS)
    assert {len(batch) for batch in batches[:-1]} <= {micro, 3}


def test_a_rescued_pipeline_learns_in_the_same_number_of_steps(make_job, tiny_bert):
    params = {"batch_size": 8, "epochs": 6, "learning_rate": 1e-2}
    spec, folder = make_job(tiny_bert, "lora", **params)
    spec["params"] = smaller(smaller(smaller(smaller(spec["params"]))))
    assert spec["params"]["gradient_checkpointing"]
    result = evaluate_pipeline(spec, folder)
    assert result["curve"][-1][0] == 6 * 64 // 8
    assert result["scores"]["f1"] > 0.85


def test_allocating_the_optimizer_state_moves_nothing(make_job, tiny_bert, monkeypatch):
    results = []
    for allocate in (allocate_optimizer_state, lambda optimizer: None):
        monkeypatch.setattr(training, "allocate_optimizer_state", allocate)
        spec, folder = make_job(tiny_bert, "full")
        evaluate_pipeline(spec, folder)
        results.append((folder.path / "checkpoint" / "trained.safetensors").read_bytes())
    assert results[0] == results[1]


def test_the_optimizer_holds_its_moments_before_the_first_step():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter], lr=0.1, weight_decay=0.1, fused=True)
    allocate_optimizer_state(optimizer)
    state = optimizer.state[parameter]
    assert state["exp_avg"].shape == (3,)
    assert float(state["step"]) == 0
    assert parameter.grad is None
    assert torch.equal(parameter.detach(), torch.ones(3))
    assert optimizer.param_groups[0]["lr"] == 0.1
