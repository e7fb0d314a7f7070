"""The field's published rules, as pickers of routing's protocol: what our policies are compared with.

Each file says where its rule and its numbers come from. Blocks stand for characters or tokens: all of these compare
prompts by whole blocks or longer, and shares of blocks are the shares of what they count.
"""
