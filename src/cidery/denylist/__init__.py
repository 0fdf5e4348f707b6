"""Denylists: content that this node neither fetches nor serves, as compact ``.deny`` files. Pure.

Spec: https://specs.ipfs.tech/compact-denylist-format/
"""
