"""Settings of the Hugging Face `Trainer` and of PEFT as a method and its hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from xautolm.experience.importers.imported import params_of, plain_word
from xautolm.experience.importers.json_files import JsonObject
from xautolm.experience.refusal import RowError, shown
from xautolm.records import ParamValue

#: Settings that mean the same here under another name.
RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "num_train_epochs": "epochs",
        "per_device_train_batch_size": "batch_size",
        "train_batch_size": "batch_size",  # in the state
        "lr_scheduler_type": "lr_scheduler",
        "optim": "optimizer",
    }
)
#: Settings of `TrainingArguments` that say where, how often and to whom a run reports, not how it trains: by name, and
#: by how the name begins. Everything else is kept.
_BOOKKEEPING = frozenset(
    """
    accelerator_config auto_find_batch_size average_tokens_across_devices batch_eval_metrics data_seed debug deepspeed
    disable_tqdm do_eval do_predict do_train enable_jit_checkpoint full_determinism gcp_project greater_is_better
    ignore_data_skip jit_mode_eval label_names length_column_name load_best_model_at_end local_rank
    metric_for_best_model mp_parameters n_gpu no_cuda output_dir overwrite_output_dir parallelism_config past_index
    per_device_eval_batch_size per_gpu_eval_batch_size per_gpu_train_batch_size prediction_loss_only project ray_scope
    remove_unused_columns restore_callback_states_from_checkpoint resume_from_checkpoint run_name seed
    skip_memory_metrics tpu_metrics_debug tpu_num_cores use_cpu use_ipex use_legacy_prediction_loop use_mps_device
    """.split()  # noqa: SIM905
)
_BOOKKEEPING_BEGINNINGS = (
    *("_", "dataloader_", "ddp_", "dispatch_", "eval_", "fsdp", "hub_", "include_", "log_", "logging_", "push_"),
    *("report_", "save_", "split_", "trackio_"),
)
#: The same of an adapter's configuration.
_ADAPTER_BOOKKEEPING = frozenset(
    """
    auto_mapping base_model_name_or_path inference_mode megatron_core peft_type peft_version revision runtime_config
    task_type
    """.split()  # noqa: SIM905
)
#: Adapter settings whose names are not `lora_` and their own. PEFT's `bias` is the published `lora_bias`.
_ADAPTER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "init_lora_weights": "init_lora_weights",
        "fan_in_fan_out": "fan_in_fan_out",
        "bias": "lora_bias",
        "lora_bias": "lora_adapter_bias",
    }
)
_MAX_DEPTH = 3


def method_of(adapter: JsonObject) -> str:
    """Method of a run: `full`, or the kind of its adapter (`lora`).

    Freezing part of a model leaves no trace in these files, so such a run counts as `full`.

    Raises:
        RowError: the adapter's configuration does not say its kind.
    """
    if not adapter:
        return "full"
    kind = adapter.get("peft_type")
    if not isinstance(kind, str) or not kind:
        raise RowError(f"`peft_type` must be the kind of the adapter, got {shown(kind)}")
    return plain_word(kind.lower())


def params_of_run(state: JsonObject, arguments: JsonObject, adapter: JsonObject) -> dict[str, ParamValue]:
    """Hyperparameters of a run.

    Args:
        state: `trainer_state.json`; what the arguments do not say is taken from it, and what a hyperparameter search
            of the Trainer chose (`trial_params`).
        arguments: `training_args.json`, or empty.
        adapter: `adapter_config.json`, or empty.

    Raises:
        RowError: one of them cannot be kept.
    """
    settings = {RENAMED.get(name, name): state.get(name) for name in ("num_train_epochs", "train_batch_size")}
    settings |= _renamed(arguments)
    chosen = state.get("trial_params")
    settings |= _renamed(chosen) if isinstance(chosen, dict) else {}
    settings |= {_adapter_name(name): value for name, value in _flat(adapter) if name not in _ADAPTER_BOOKKEEPING}
    return params_of(settings)


def _renamed(arguments: JsonObject) -> JsonObject:
    kept = {
        name: value
        for name, value in _flat(arguments)
        if name.partition(".")[0] not in _BOOKKEEPING and not name.startswith(_BOOKKEEPING_BEGINNINGS)
    }
    if kept.get("max_steps") == -1:  # not set
        del kept["max_steps"]
    return {RENAMED.get(name, name): value for name, value in kept.items()}


def _adapter_name(name: str) -> str:
    """Name of an adapter's setting among the hyperparameters.

    >>> _adapter_name("r"), _adapter_name("lora_alpha"), _adapter_name("fan_in_fan_out")
    ('lora_r', 'lora_alpha', 'fan_in_fan_out')
    """
    return _ADAPTER_NAMES.get(name, name if name.startswith("lora_") else f"lora_{name}")


def _flat(settings: JsonObject, above: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Settings by name, nested ones as `outer.inner`; what is empty is left out."""
    for name, value in settings.items():
        if isinstance(value, dict):
            if depth == _MAX_DEPTH:
                raise RowError(f"settings must be nested at most {_MAX_DEPTH} deep, but {shown(name)} is deeper")
            yield from _flat(value, f"{above}{name}.", depth + 1)
        elif value is not None and value not in ([], ""):
            yield above + name, value
