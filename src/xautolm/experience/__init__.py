"""What is remembered: the journal of one run (`journal`) and the store of all runs (`store`).

The store keeps numbers and names, never text of the user's data, and nothing that would be executed when
read.
"""
