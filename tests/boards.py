"""What TensorBoard reads in a run folder."""

from tensorboard.backend.event_processing import event_accumulator


def events(folder):
  accumulator = event_accumulator.EventAccumulator(
      str(folder), size_guidance={'scalars': 0, 'images': 0, 'tensors': 0})
  return accumulator.Reload()


def points(accumulator, tag):
  return [(x.step, x.value) for x in accumulator.Scalars(tag)]
