"""A demonstration on real orders: baskets replayed through a live server, which is killed on the way.

`python -m serving.demo` runs it; docs/guides/demo.md explains what it does and what its numbers mean.
"""
