"""Runs in a fork server before it serves, as its `sitecustomize`: something that makes it unfit to fork."""

import os
import sys

if "--serve" in sys.orig_argv:
    operation = os.environ["XAUTOLM_TEST_OPERATION"]
    if operation == "tokenisation":
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        from tokenizers import Tokenizer, models, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.encode_batch(["a b c"] * 1000)
    else:
        import torch

        if operation == "gpu":
            torch.cuda.is_initialized = lambda: True
        else:
            torch.set_num_threads(2)
            left = torch.ones(512, 512, requires_grad=operation == "backward")
            product = left @ left
            if operation == "backward":
                product.sum().backward()
    print(f"did {operation}", file=sys.stderr, flush=True)
