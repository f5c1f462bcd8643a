"""The table of metrics: each has one meaning, and the docs show them all."""

import pathlib
import re

import pytest

from dreamerv2_tf.report import metrics
from dreamerv2_tf.report.tensorboard import COLUMNS

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize('name, row', [
    ('eval_return', 'eval_return'),
    ('sum_train_log_reward', '<sum,mean,max>_train_<key>'),
    ('image_loss', '<key>_loss'), ('reward_loss', 'reward_loss'),
    ('ahead_vector_loss', 'ahead_<head>_loss'), ('critic_loss', 'critic_loss'),
    ('actor_skipped', '<model,actor,critic>_skipped'),
    ('model_loss_scale', 'model_loss_scale'),
    ('expl_actor_ent', 'expl_<name>'), ('reward_std', 'reward_<mean,std>'),
    ('train_episodes_skipped', '<train,eval>_episodes_skipped')])
def test_a_name_has_the_row_that_says_most_of_it(name, row):
  assert metrics.find(name).name == row


def test_names_that_are_not_ours_have_none():
  assert metrics.find('mine') is None
  assert metrics.find('eval_return_') is None
  assert metrics.find('eval_policy_image') is None
  assert metrics.find_picture('eval_policy_image').group == '2 evaluation'
  assert metrics.find_picture('train_openl_a/b').name == (
      '<train,eval>_openl_<key>')


def test_rows_have_known_groups_and_sentences():
  rows = metrics.TABLE + metrics.PICTURES
  assert len({row.name for row in rows}) == len(rows)
  assert list(metrics.GROUPS) == sorted(metrics.GROUPS)
  for row in rows:
    assert row.group in metrics.GROUPS
    assert row.text.endswith(('.', ').')) and row.text[0].isupper(), row
    assert row.description.endswith('.'), row
  assert all(metrics.find(name) for name in COLUMNS)


def test_the_docs_show_the_table():
  text = (ROOT / 'docs' / 'usage.md').read_text()
  shown = re.search(
      r'<!-- metrics -->\n(.*?)<!-- end of metrics -->', text, re.S)
  assert shown[1].strip() == metrics.markdown().strip()
