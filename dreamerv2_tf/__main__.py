"""`python -m dreamerv2_tf` is the command `dreamerv2`."""

from .cli import command

if __name__ == '__main__':
  command()
