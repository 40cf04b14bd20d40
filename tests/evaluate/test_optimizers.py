"""Settings of the wide space do what they say: every optimizer trains, every schedule runs, biases are trained too."""

import math
from itertools import product

import pytest
import torch

from xautolm.evaluate import training
from xautolm.evaluate.job_folder import JobFolder
from xautolm.evaluate.loss import allocate_optimizer_state
from xautolm.evaluate.optimizers import optimizer_settings
from xautolm.evaluate.training import evaluate_pipeline, training_arguments
from xautolm.space.wide import ADDED, ADDED_TO_ADAPTERS

PARAMS = {"learning_rate": 2e-3, "weight_decay": 0.01, "warmup_ratio": 0.25, "batch_size": 8, "epochs": 4}


def make_trainer(folder, module, **params):
    args = training_arguments({**PARAMS, **params}, {"seed": 0}, JobFolder(folder), torch.device("cpu"))
    trainer = training.BatchTrainer(model=module, args=args)
    trainer.create_optimizer_and_scheduler(num_training_steps=20)
    return trainer


@pytest.mark.parametrize("optimizer", ADDED["optimizer"])
def test_every_optimizer_learns_at_the_same_learning_rate(optimizer, make_job, tiny_bert, monkeypatch):
    losses = []

    class Watched(training.BatchTrainer):
        def compute_loss(self, *args, **options):
            loss = super().compute_loss(*args, **options)
            losses.append(float(loss.detach()))
            return loss

    monkeypatch.setattr(training, "BatchTrainer", Watched)
    evaluate_pipeline(*make_job(tiny_bert, "full", optimizer=optimizer, learning_rate=1e-3, epochs=10))
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])


@pytest.mark.parametrize("schedule", ADDED["lr_scheduler"])
def test_every_schedule_warms_up_and_is_its_own(schedule, tmp_path):
    found = {}
    for name in ADDED["lr_scheduler"]:
        trainer = make_trainer(tmp_path, torch.nn.Linear(2, 2), lr_scheduler=name)
        rates = []
        for _ in range(20):
            rates.append(trainer.lr_scheduler.get_last_lr()[0])
            trainer.optimizer.step()
            trainer.lr_scheduler.step()
        found[name] = rates
    own = found[schedule]
    assert own[0] == 0.0
    assert max(own) == pytest.approx(PARAMS["learning_rate"])
    assert all(math.dist(own, rates) > 1e-4 for name, rates in found.items() if name != schedule)


@pytest.mark.parametrize("optimizer", ADDED["optimizer"])
def test_allocating_early_leaves_no_trace_in_the_training(optimizer, tmp_path):
    def train(*, is_early):
        torch.manual_seed(0)
        module = torch.nn.Linear(4, 3)
        inner = make_trainer(tmp_path, module, optimizer=optimizer).optimizer
        for group in inner.param_groups:
            group["lr"] = 0.1
        if is_early:
            allocate_optimizer_state(inner)
        for step in range(4):
            module(torch.full((2, 4), 1.0 + step)).square().sum().backward()
            inner.step()
            inner.zero_grad()
        return [p.detach() for p in module.parameters()]

    for late, early in zip(train(is_early=False), train(is_early=True), strict=True):
        torch.testing.assert_close(early, late)


def test_what_a_pipeline_does_not_name_is_what_it_was():
    settings = optimizer_settings(PARAMS)
    assert (settings["optim"], settings["lr_scheduler_type"], settings["max_grad_norm"]) == (
        *("adamw_torch_fused", "linear"),
        1.0,
    )
    named = {name: choices[0] for name, choices in ADDED.items()}
    assert optimizer_settings({**PARAMS, **named}) == settings


@pytest.mark.parametrize(("bias", "init"), product(ADDED_TO_ADAPTERS["lora_bias"], ADDED_TO_ADAPTERS["lora_init"]))
def test_adapters_with_other_biases_and_inits_are_trained_merged_and_rebuilt(bias, init, make_job, tiny_bert):
    from safetensors.torch import load_file

    spec, folder = make_job(tiny_bert, "lora", lora_bias=bias, lora_init=init, lora_alpha_ratio=0.5, epochs=1)
    evaluate_pipeline(spec, folder)
    names = load_file(folder.path / "checkpoint" / "trained.safetensors")
    n_biases = sum(name.endswith("bias") and "classifier" not in name for name in names)
    n_linear = sum("lora_A" in name for name in names)
    assert n_biases == {"none": 0, "lora_only": n_linear}.get(bias, n_biases)
    assert (n_biases > n_linear) == (bias == "all")
