"""Fine-tuning methods: each declares what it lets vary, what it costs, and how it prepares a model.

To add one: write a module with a `METHOD` object that satisfies `xautolm.methods.method.Method` and register it
(entry-point group `xautolm.methods`, or `xautolm.registry.register`).
"""
