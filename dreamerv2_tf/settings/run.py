"""Settings of the run: environments, replay, logging, checkpoints."""

from ..schema import Key

RUN = {
    'logdir': Key(str, 'Folder of the run; empty: ~/logdir/<task>/<time>.'),
    'seed': Key(
        int, 'Seed of networks, environments, replay and exploration.', low=0),
    'task': Key(
        str, '<suite>_<name>: highway_<id>, gym_<any Gymnasium id>, '
        'atari_<game>, dmc_<domain>_<task>, crafter_reward, minatar_<game>.',
        fixed=True),
    'steps': Key(int, 'Length of the run, in steps.', low=1),
    'deterministic': Key(
        bool, 'Two runs with one seed give the same numbers on the CPU, bit '
        'for bit.'),
    'precision': Key(
        str, 'Number format of the networks; 16 scales the losses. auto is 16 '
        'where a run begins on a GPU and 32 where there is none.',
        choices=('auto', 16, 32, 'bf16')),
    'jit': Key(
        str, 'Compile with XLA; auto is off, as each part was slower with it '
        'on the CPU.', choices=('auto', True, False)),
    'max_skipped_updates': Key(
        int, 'Non-finite float16 gradients in a row, skipped, before the run '
        'stops.', low=0),
}
ENVIRONMENT = {
    'envs': Key(int, 'Environments that collect at the same time.', low=1),
    'envs_parallel': Key(
        str, 'Where they run: process (a worker each) or none (in this '
        'process).', choices=('process', 'none')),
    'env_timeout': Key(
        float, 'Seconds that a worker may take for a step before it is '
        'replaced.', above=0),
    'max_env_failures': Key(
        int, 'Environment failures per hour before the run stops.', low=0),
    'on_bad_data': Key(
        str, 'NaN or infinite rewards and observations: stop the run, or drop '
        'the rest of the episode.', choices=('stop', 'drop')),
    'env.config': Key(
        dict, "Any key of the environment's own configuration: "
        '--env.config.lanes_count 3 (read as YAML, merged deeply).',
        form='open', fixed=True),
    'env.obs_scale': Key(
        float, 'Factor on float vector observations; about unit variance '
        'learns best. A list has a factor for each place along the last axis, '
        'such as 1,15,2.5.', above=0, form='one or list', fixed=True),
    'env.simulator': Key(
        str, 'What simulates the highway tasks in training: highway-env, or '
        'envpool, the same worlds in C++, hundreds of times faster, of '
        'highway-fast-v0 and highway-v0. Evaluations always run in '
        'highway-env.', choices=('highway-env', 'envpool')),
    'render_size': Key(
        int, 'Height and width of images of the suites atari, dmc, crafter '
        'and minatar, in pixels.', low=1, form='list', fixed=True),
    'dmc_camera': Key(
        int, "Camera of DeepMind Control; -1 is the task's own.", fixed=True),
    'dmc_images': Key(
        bool, 'Draw and observe images in DeepMind Control, which takes most '
        'of its time.', fixed=True),
    'atari_grayscale': Key(
        bool, 'One gray channel instead of three colours in Atari.',
        fixed=True),
    'atari_noops': Key(
        int, 'Largest number of idle frames at the start of an Atari episode; '
        '0: none.', low=0),
    'atari_sticky': Key(
        float, 'Probability that a frame of Atari repeats the action of the '
        'frame before.', low=0, below=1),
    'atari_full_actions': Key(
        bool, 'All 18 actions of Atari, instead of those that a game knows.',
        fixed=True),
    'atari_life_done': Key(
        bool, 'End an episode of Atari, as terminal, when a life is lost.'),
    'atari_ram': Key(
        bool, 'Observe the 128 bytes of memory of Atari, too, as `ram`.',
        fixed=True),
    'minatar_partial': Key(
        bool, 'Leave out the channels of MinAtar that show how things move.',
        fixed=True),
    'time_limit': Key(
        int, 'Steps after which an episode is cut; 0: no limit of ours.',
        low=0),
    'action_repeat': Key(
        int, 'Environment steps per policy step.', low=1, fixed=True),
}
COLLECTORS = {
    'collectors': Key(
        int, 'Processes that collect on Ray (extra ray), with `envs` '
        'environments each, and hand over whole episodes; 0: none, collect '
        'beside the learner.', low=0),
    'min_collectors': Key(
        int, 'With fewer at work for `collector_timeout` seconds the run is '
        'saved and stops.', low=1),
    'collector_timeout': Key(
        float, 'Seconds, beyond env_timeout, that a collector may take for a '
        'step before it is replaced.', above=0),
    'sync_every': Key(
        int, 'Gradient steps until collectors get new weights.', low=1),
    'ray.address': Key(
        str, 'Where collectors run: local starts Ray on this machine, auto is '
        'the cluster that this machine has joined, or its HOST:PORT.'),
}
TRAINING = {
    'prefill': Key(int, 'Random steps before training.', low=0),
    'pretrain': Key(
        int, 'Gradient steps before the first step of the policy.', low=0),
    'train_every': Key(int, 'Steps between two trainings.', low=1),
    'train_steps': Key(int, 'Gradient steps per training.', low=1),
    'replicas': Key(
        int, 'Devices of this machine between which each batch is divided; '
        'dataset.batch is that of all of them.', low=1),
    'dataset.batch': Key(int, 'Sequences in a batch.', low=1),
    'dataset.length': Key(int, 'Rows of each sequence.', low=2),
}
REPLAY = {
    'replay.capacity': Key(
        int, 'Steps kept; the oldest episodes are dropped; 0: all.', low=0),
    'replay.ongoing': Key(bool, 'Learn from the running episodes, too.'),
    'replay.minlen': Key(
        int, 'Shortest episode stored, in steps, and shortest sequence drawn, '
        'in rows.', low=1),
    'replay.maxlen': Key(
        int, 'Longest sequence drawn from an episode, in rows; 0: no limit.',
        low=0),
    'replay.prioritize_ends': Key(
        bool, 'Draw the ends of episodes more often.'),
    'replay.ram': Key(
        int, 'Memory for decoded episodes, in bytes; the rest is read from '
        'the disk.', low=1),
}
LOGGING = {
    'log_every': Key(
        int, 'Steps between two writes of the metrics; 0: never.', low=0),
    'eval_every': Key(
        int, 'Steps between two evaluations; 0: never.', low=0),
    'eval_eps': Key(int, 'Episodes of an evaluation.', low=1),
    'eval_envs': Key(
        int, 'Environments of an evaluation; 0: envs, but no more than '
        'eval_eps.', low=0),
    'checkpoint_every': Key(int, 'Steps between two checkpoints.', low=1),
    'checkpoint_keep': Key(
        int, 'Checkpoints kept besides the best one.', low=1),
    'profile': Key(
        str, 'Steps to record for TensorBoard, START:STOP, such as 2000:2200; '
        'empty: none.', form='steps'),
    'logger.wandb': Key(
        str, 'Also write to Weights & Biases (extra wandb): online, or offline '
        "into the run folder, for 'wandb sync'.",
        choices=('off', 'online', 'offline')),
    'log_keys_video': Key(
        str, 'Observation keys logged as video.', form='list'),
    'log_keys_sum': Key(
        str, 'Pattern of keys whose sum over an episode is logged.',
        form='pattern'),
    'log_keys_mean': Key(
        str, 'Pattern of keys whose mean over an episode is logged.',
        form='pattern'),
    'log_keys_max': Key(
        str, 'Pattern of keys whose maximum over an episode is logged.',
        form='pattern'),
}
