"""Rates and times left, on a clock of our own."""

from dreamerv2_tf.report.forecast import Forecast


def run(forecast, now, step, seconds, rate, phase):
  """Notes each second of a phase; returns the time and step behind it."""
  forecast.note(now, step, phase)
  for _ in range(seconds):
    now, step = now + 1, step + rate
    forecast.note(now, step, phase)
  return now, step


def test_the_rate_is_that_of_the_phase():
  forecast = Forecast(1000)
  assert forecast.rate is None
  now, step = run(forecast, 100.0, 0, 10, 20, 'prefill')
  assert (step, forecast.rate) == (200, 20)
  forecast.note(now, step, 'compiling')
  assert forecast.rate is None
  run(forecast, now + 50, step, 5, 2, 'training')
  assert forecast.rate == 2


def test_nothing_is_foreseen_before_training_has_run_for_ten_seconds():
  forecast = Forecast(1000)
  now, step = run(forecast, 0.0, 0, 100, 2, 'prefill')
  assert forecast.left(step) is None
  forecast.note(now, step, 'compiling')
  now, step = run(forecast, now + 30, step, 9, 10, 'training')
  assert forecast.left(step) is None
  now, step = run(forecast, now, step, 1, 10, 'training')
  assert (step, forecast.left(step)) == (300, 70)


def test_the_rate_forgets_what_is_a_minute_ago():
  forecast = Forecast(10_000)
  now, step = run(forecast, 0.0, 0, 100, 1, 'training')
  now, step = run(forecast, now, step, 60, 7, 'training')
  assert forecast.rate == 7


def test_a_pause_does_not_slow_the_rate_and_comes_again():
  forecast = Forecast(1000, eval_every=200)
  now, step = run(forecast, 0.0, 0, 20, 10, 'training')
  assert forecast.left(200) == 80  # How long one takes is not known yet.
  forecast.note(now, step, 'evaluating 0/2')
  forecast.note(now + 3, step, 'evaluating 1/2')
  forecast.note(now + 5, step, 'reporting')
  forecast.note(now + 6, step, 'evaluating 2/2')
  assert forecast.left(200) == 80
  now, step = run(forecast, now + 7, step, 5, 10, 'training')
  assert forecast.rate == 10
  # At 400, 600, 800, and at the end, 7 seconds each.
  assert (step, forecast.left(step)) == (250, 75 + 4 * 7)


def test_after_a_restart_evaluations_are_expected_at_multiples():
  forecast = Forecast(1000, eval_every=400)
  now, step = run(forecast, 0.0, 500, 10, 10, 'training')
  forecast.note(now, step, 'saving')
  forecast.note(now + 9, step, 'training')
  assert forecast.left(step) == 40  # Saving is no evaluation.


def test_without_an_end_there_is_no_time_left():
  forecast = Forecast(0)
  run(forecast, 0.0, 0, 30, 10, 'training')
  assert forecast.rate == 10 and forecast.left(300) is None
