"""Your own Optuna study, warm from an experience store: `python examples/optuna_sampler.py [STORE] [N_TRIALS]`."""

import sys

import optuna

import xautolm


def objective(trial: optuna.Trial) -> float:
    """Your training; here a made-up one that runs out of memory and peaks at a learning rate of 3e-4."""
    rate = trial.suggest_float("lr", 1e-6, 1e-2, log=True)
    batch = trial.suggest_categorical("batch_size", [8, 16, 32, 64])
    if batch * trial.suggest_categorical("max_length", [64, 128, 256]) > 4096:
        raise MemoryError("this batch does not fit")
    return 0.9 - 0.05 * abs(rate - 3e-4) / rate + 0.001 * batch


store = sys.argv[1] if len(sys.argv) > 1 else None  # a path or a URL; none = cold
sampler = xautolm.ExperienceSampler(store, rename={"lr": "learning_rate"}, seed=0)
study = optuna.create_study(direction="maximize", sampler=sampler)
study.optimize(objective, n_trials=int(sys.argv[2]) if len(sys.argv) > 2 else 30, catch=(MemoryError,))
print(study.best_params, study.best_value)
print(sampler.evidence)
