"""The numbers of the DreamerV2 paper, and runs beside them.

`data/README.md` tells where each number is from and how it was computed.

Paper: arXiv 2010.02193v4.
"""
