"""The report stage: what a run found, as text, as one HTML page and as a live view.

`summary` computes the facts once; `text` and `html` only render them. Nothing here touches the store or a
model.
"""
