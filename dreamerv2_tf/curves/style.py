"""Colors, labels and numbers of a figure."""

from collections.abc import Iterable, Mapping, Sequence
import re
import textwrap

from ..errors import ConfigError
from ..schema import suggest
from .runs import natural

# All but `gradient` can be told apart by those who do not see all colors.
PALETTES = {
    'contrast': (
        '#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00',
        '#332288', '#882255', '#44aa99', '#999933'),
    'discrete': (
        'tab:blue', 'tab:green', 'tab:purple', 'tab:red', 'tab:orange',
        'tab:brown', 'tab:pink', 'tab:gray', 'tab:olive', 'tab:cyan'),
    'gradient': ('viridis_r',),
    'baselines': ('#222222', '#666666', '#999999', '#bbbbbb'),
}
MARKERS = 'osD^vPX<>*'  # Methods differ by more than their color.

AXES = {
    'step': 'environment steps',
    'time_total': 'time of training and evaluations',
    'time': 'time of training',
    'time_eval': 'time of evaluations',
    'eval_return': 'return of evaluations',
    'train_return': 'return in training',
    'eval_length': 'length of episodes in evaluations (steps)',
    'train_length': 'length of episodes in training (steps)',
    'eval_crash_rate': 'share of crashes in evaluations',
    'eval_success_rate': 'share of evaluations that reach the goal',
    'eval_speed': 'speed in evaluations (m/s)',
}
PLAIN = 'highway', 'gym'  # Suites whose names of tasks are shown as they are.
KNOWN = 'atari', 'dmc'  # Suites whose tasks are known without their name.
LONGEST = 60  # Characters of a label that is not the user's.


def colors(
    methods: Sequence[str], palette: Sequence[str],
    given: Mapping[str, str]) -> dict[str, str]:
  """Returns a color for each method.

  Args:
    methods: in their order.
    palette: one name of PALETTES or of a color map of matplotlib, or colors.
    given: methods to colors, which come first.

  Raises:
    ConfigError: there is no such palette or color.
  """
  import matplotlib
  from matplotlib.colors import is_color_like, to_hex
  if len(palette) == 1:
    palette = PALETTES.get(palette[0], palette)
  if len(palette) == 1 and palette[0] in matplotlib.colormaps:
    steps = max(len(methods) - 1, 1)
    palette = [
        to_hex(matplotlib.colormaps[palette[0]](i / steps))
        for i in range(len(methods))]
  for color in (*palette, *given.values()):
    if not is_color_like(color):
      raise ConfigError(
          f"'{color}' is no color such as red or #0072b2, and no palette."
          f"{suggest(color, (*PALETTES, *matplotlib.colormaps))} "
          f"Palettes: {', '.join(PALETTES)}.")
  return {
      method: given.get(method, palette[index % len(palette)])
      for index, method in enumerate(methods)}


def title(task: str) -> str:
  """Returns the name of a task above its panel."""
  suite, _, name = plain(task).partition('_')
  if suite in PLAIN and name:
    return name
  name = name if suite in KNOWN and name else plain(task)
  return name.replace('_', ' ').title()


def plain(text: str) -> str:
  """Returns a name as it is given to matplotlib, which reads $ as a formula."""
  return text.replace('$', r'\$')


def checked(text: str) -> str:
  """Returns a text of the user's, which may have formulas.

  Raises:
    ConfigError: matplotlib can not read them.
  """
  from matplotlib import cbook, mathtext
  try:
    if cbook.is_math_text(text):
      mathtext.MathTextParser('path').parse(text)
  except ValueError:
    raise ConfigError(
        f"'{text}' has a formula between $ that matplotlib can not read. "
        r'A $ that begins none is written \$.') from None
  return text


def axis_label(name: str, repeats: Iterable[int | None] = ()) -> str:
  """Returns what is written at an axis.

  Args:
    name: of the metric.
    repeats: action repeat of the runs, None where it is unknown.
  """
  text = plain(AXES.get(name, name))
  known = {*repeats}
  if name == 'step' and len(known) == 1 and (known.copy().pop() or 1) > 1:
    text += f' (action repeat {known.pop()} included)'
  return text


def unit(name: str, longest: float) -> tuple[float, str]:
  """Returns what numbers of an axis are divided by, and the unit then.

  Args:
    name: of the metric; those of times are in seconds.
    longest: the largest number.
  """
  if not re.match('time(_|$)', name):
    return 1, ''
  if longest > 3 * 3600:
    return 3600, 'hours'
  return (60, 'minutes') if longest > 180 else (1, 'seconds')


def number(value: float) -> str:
  """Returns a number at an axis: 250k, 1.5M, 0.02."""
  unit_ = ''
  for size, letter in (1e9, 'G'), (1e6, 'M'), (1e3, 'k'):
    if abs(value) >= size:
      value, unit_ = value / size, letter
      break
  return f'{value:.4g}{unit_}'.replace('-', '\N{MINUS SIGN}')


def names(
    methods: Sequence[str], folders: Mapping[str, str]) -> dict[str, str]:
  """Returns methods to shorter names, of which no two are the same.

  Of long lists of settings their number is left, and the folder of a run.

  Args:
    methods: such as 'highway (discount 0.9, actor_ent 0.5)'.
    folders: name of the folder of a run of each.
  """
  result = {}
  for method in methods:
    text = method
    if len(text) > LONGEST:
      start, _, rest = method.partition(' (')
      many = len(re.findall(r', [a-z]', rest)) + 1
      text = f'{start} + {many} settings ({folders[method]})' if rest else (
          f'{text[:LONGEST - 4]} ...')
    while text in result.values():
      text += "'"
    result[method] = text
  return result


def counted(label: str, counts: Sequence[int]) -> str:
  """Returns a label with the number of seeds in the panels.

  Args:
    label: of a method.
    counts: its seeds in each panel that has it.
  """
  low, high = min(counts), max(counts)
  many = f'{low}' if low == high else f'{low} to {high}'
  return f"{label}, {many} seed{'s' * (high > 1)}"


def columns(
    labels: Sequence[str], inches: float, most: int, size: float
) -> tuple[int, list[str]]:
  """Divides the labels of a legend into columns.

  Args:
    labels: of its entries.
    inches: width of the figure.
    most: columns.
    size: of the font, points.

  Returns:
    Number of columns, and labels, wrapped where even one column is too narrow.
  """
  # A character is about half as wide as high; the line before it takes 3 em.
  room = inches * 72 / size
  longest = max(map(len, labels)) * 0.55 + 4
  count = int(max(1, min(most, len(labels), room // longest)))
  wide = max(int((room / count - 4) / 0.55), 12)
  return count, [textwrap.fill(label, wide) for label in labels]


def marker(index: int) -> str:
  """Returns the marker of a method, so that few have that and color in common.

  Args:
    index: of the method.
  """
  return MARKERS[(index + index // len(MARKERS)) % len(MARKERS)]


def dashes(index: int) -> str | tuple:
  """Returns how the line of a level is dashed; dotted are curves.

  Args:
    index: of the level.
  """
  return ('--', '-.', (0, (8, 2)), (0, (5, 1, 1, 1, 1, 1)))[index % 4]


def ordered(
    patterns: Iterable[re.Pattern], methods: Iterable[str]) -> list[str]:
  """Returns the methods that match, by the first pattern that does."""
  methods = sorted(set(methods), key=natural)
  found = [x for pattern in patterns for x in methods if pattern.search(x)]
  return list(dict.fromkeys(found))
