"""Settings of the agent: its networks, losses and optimizers."""

from ..schema import Key

# Rows that several groups share.
ACT = Key(str, 'Activation: none, mish or a function of tf.nn.', fixed=True)
NORM = Key(str, 'Normalisation.', choices=('none', 'layer'), fixed=True)
UNITS = Key(int, 'Units of each hidden layer.', low=1, fixed=True)
CNN_DEPTH = Key(
    int, 'Channels of the hidden layer nearest to the image, doubled by each '
    'further one.', low=1, fixed=True)
CNN_KERNELS = Key(
    int, 'Kernel size of each layer, in pixels.', low=1, form='list',
    fixed=True)
MLP_LAYERS = Key(
    int, 'Units of each layer for vectors.', low=1, form='list', fixed=True)
DISTS = 'mse', 'binary', 'onehot', 'normal', 'tanh_normal', 'trunc_normal'

# Kinds of groups.
HEAD = {
    'layers': Key(int, 'Hidden layers.', low=0, fixed=True),
    'units': UNITS,
    'act': ACT,
    'norm': NORM,
    'dist': Key(
        str, 'Distribution; mse is a Normal of unit variance.', choices=DISTS,
        fixed=True),
}
OPTIMIZER = {
    'opt': Key(
        str, 'Optimizer.', fixed=True,
        choices=('adam', 'nadam', 'adamax', 'sgd', 'momentum')),
    'lr': Key(
        float, 'Learning rate; a number or a schedule.', low=0,
        form='schedule'),
    'eps': Key(float, 'Epsilon of Adam.', low=0),
    'clip': Key(
        float, 'Largest global norm of the gradient; 0: no clipping.', low=0),
    'wd': Key(
        float, 'Weight decay per gradient step, not times the learning rate.',
        low=0, below=1),
}
MAGNITUDE = {
    'momentum': Key(
        float, 'Momentum of the running magnitude; 1: no normalisation.',
        low=0, high=1),
    'scale': Key(float, 'Magnitude after normalisation.'),
    'eps': Key(float, 'Added to the magnitude.'),
}


def group(name: str, kind: dict[str, Key]) -> dict[str, Key]:
  """Returns the rows of a group of some kind, under dotted names."""
  return {f'{name}.{key}': rule for key, rule in kind.items()}


AGENT = {
    'clip_rewards': Key(
        str, 'Transformation of training rewards.',
        choices=('identity', 'sign', 'tanh')),
    'expl_behavior': Key(
        str, 'Behavior that collects.', fixed=True,
        choices=('greedy', 'Random', 'Plan2Explore', 'ModelLoss')),
    'expl_until': Key(
        int, 'Step at which it gives way to greedy; 0: never.', low=0),
    'expl_noise': Key(
        float, 'Action noise of the collecting policy.', low=0, high=1),
    'eval_noise': Key(float, 'Action noise in evaluation.', low=0, high=1),
    'eval_state_mean': Key(
        bool, 'Use the mode of the latent instead of a sample in evaluation.'),
    'eval_lookahead.depth': Key(
        int, 'Choose actions in evaluation by dreams of all sequences of so '
        'many actions (not in the original); 0: take the mode of the actor.',
        low=0),
    'eval_lookahead.horizon': Key(
        int, 'Steps of such a dream, these actions included; then the '
        "critic's value stands."),
    'eval_lookahead.samples': Key(int, 'Dreams of each sequence.', low=1),
}
WORLD_MODEL = {
    'grad_heads': Key(
        str, 'Heads whose gradients train the representation.', form='list'),
    'pred_discount': Key(
        bool, 'Learn when episodes end; otherwise the discount is constant.',
        fixed=True),
    'rssm.ensemble': Key(
        int, 'Prior networks; one, drawn at random, is used at each step.',
        low=1, fixed=True),
    'rssm.hidden': UNITS,
    'rssm.deter': Key(
        int, 'Units of the deterministic state.', low=1, fixed=True),
    'rssm.stoch': Key(int, 'Latent variables.', low=1, fixed=True),
    'rssm.discrete': Key(
        int, 'Classes of each latent variable; 0 or False: Gaussian latents.',
        low=0, form='off', fixed=True),
    'rssm.act': ACT,
    'rssm.norm': NORM,
    'rssm.std_act': Key(
        str, 'Standard deviation of Gaussian latents.', fixed=True,
        choices=('softplus', 'sigmoid', 'sigmoid2')),
    'rssm.min_std': Key(
        float, 'Smallest standard deviation of Gaussian latents.', low=0,
        fixed=True),
    'encoder.mlp_keys': Key(
        str, 'Pattern of the vector keys that are read, matched from the '
        'start.', form='pattern', fixed=True),
    'encoder.cnn_keys': Key(
        str, 'Pattern of the image keys that are read, matched from the '
        'start.', form='pattern', fixed=True),
    'encoder.act': ACT,
    'encoder.norm': NORM,
    'encoder.cnn_depth': CNN_DEPTH,
    'encoder.cnn_kernels': CNN_KERNELS,
    'encoder.mlp_layers': MLP_LAYERS,
    'decoder.mlp_keys': Key(
        str, 'Pattern of the vector keys that are predicted, matched from the '
        'start.', form='pattern', fixed=True),
    'decoder.cnn_keys': Key(
        str, 'Pattern of the image keys that are predicted, matched from the '
        'start.', form='pattern', fixed=True),
    'decoder.act': ACT,
    'decoder.norm': NORM,
    'decoder.cnn_depth': CNN_DEPTH,
    'decoder.cnn_kernels': CNN_KERNELS,
    'decoder.mlp_layers': MLP_LAYERS,
    **group('reward_head', HEAD),
    **group('discount_head', HEAD),
    'loss_scales.kl': Key(float, 'Factor of the KL loss.'),
    'loss_scales.reward': Key(float, 'Factor of the reward loss.'),
    'loss_scales.discount': Key(float, 'Factor of the discount loss.'),
    'loss_scales.proprio': Key(
        float, 'Factor of the loss of an observation key named proprio.'),
    'loss_scales.image': Key(
        float, 'Factor of the loss of the images of a plain image space.'),
    'loss_scales.vector': Key(
        float, 'Factor of the loss of the vector of a plain vector space.'),
    'kl.free': Key(
        float, 'Free bits: loss below which the KL is not reduced, in nats.',
        low=0),
    'kl.forward': Key(bool, 'Swap the two directions of the KL.'),
    'kl.balance': Key(
        float, 'Weight of the term that trains the prior.', low=0, high=1),
    'kl.free_avg': Key(
        bool, 'Free nats hold for the average instead of each state.'),
    'overshooting.steps': Key(
        int, 'Steps ahead to which heads are trained on predicted states, '
        'too, as in dreams (not in the original); 0: none. At least two where '
        'it is used: dreams are as good as their later steps.', low=0),
    'overshooting.heads': Key(str, 'Heads that are asked there.', form='list'),
    'overshooting.scale': Key(
        float, 'Factor of the loss of each distance, on top of loss_scales.',
        low=0),
    **group('model_opt', OPTIMIZER),
}
ACTOR_CRITIC = {
    **group('actor', HEAD),
    'actor.dist': Key(
        str, 'Distribution; auto: onehot (discrete) or trunc_normal '
        '(continuous actions).', choices=('auto', *DISTS), fixed=True),
    'actor.min_std': Key(
        float, 'Smallest standard deviation of continuous actions.', low=0,
        fixed=True),
    **group('critic', HEAD),
    **group('actor_opt', OPTIMIZER),
    **group('critic_opt', OPTIMIZER),
    'discount': Key(float, 'Discount per step.', low=0, high=1),
    'discount_lambda': Key(
        float, 'Lambda of the returns; 0: one step, 1: all.', low=0, high=1),
    'imag_horizon': Key(int, 'Imagined steps.', low=2),
    'imag_starts': Key(
        int, 'States of a batch from which dreams start, drawn anew each '
        'time; 0: all.', low=0),
    'actor_critic_steps': Key(
        int, 'Updates of actor and critic, each in new dreams, per gradient '
        'step of the world model.', low=1),
    'actor_grad': Key(
        str, 'Gradient of the actor: reinforce, dynamics, both, auto '
        '(reinforce for discrete, dynamics for continuous actions), or '
        'lookahead, not in the original: the actor is drawn to softmax(Q / '
        'actor_ent), Q from dreams of every action, as in arXiv 1906.00190.',
        choices=('auto', 'reinforce', 'dynamics', 'both', 'lookahead')),
    'lookahead.horizon': Key(
        int, 'With actor_grad lookahead: steps of the dreams that follow each '
        'action, with the action itself.', low=2),
    'lookahead.samples': Key(int, 'Dreams of each action.', low=1),
    'lookahead.states': Key(
        int, 'States of each imagined trajectory that are judged.', low=1),
    'actor_grad_mix': Key(
        float, 'Share of dynamics in both; a number or a schedule.', low=0,
        high=1, form='schedule'),
    'actor_ent': Key(
        float, 'Scale of the entropy, in reward per nat; a number or a '
        'schedule: linear(first,last,steps), constant until a step with '
        'linear(first,last,steps,start), warmup(steps,last), '
        'exp(first,last,halflife), horizon(first,last,steps).', low=0,
        form='schedule'),
    'slow_target': Key(
        bool, 'Take targets from a slow copy of the critic.', fixed=True),
    'slow_target_update': Key(
        int, 'Gradient steps between two updates of the copy.', low=1),
    'slow_target_fraction': Key(
        float, 'Share of the new weights in an update.', above=0, high=1),
    'slow_baseline': Key(
        bool, 'Take the baseline from the copy, too (as the original always '
        'does).'),
    **group('reward_norm', MAGNITUDE),
}
EXPLORATION = {
    'expl_intr_scale': Key(float, 'Factor of the intrinsic reward.'),
    'expl_extr_scale': Key(float, "Factor of the task's reward."),
    **group('expl_opt', OPTIMIZER),
    **group('expl_head', HEAD),
    **group('expl_reward_norm', MAGNITUDE),
    'disag_target': Key(
        str, 'What the ensemble predicts.', fixed=True,
        choices=('embed', 'stoch', 'deter', 'feat')),
    'disag_log': Key(bool, 'Reward the logarithm of the disagreement.'),
    'disag_models': Key(int, 'Networks of the ensemble.', low=1, fixed=True),
    'disag_offset': Key(
        int, 'Steps ahead that they predict.', low=0, fixed=True),
    'disag_action_cond': Key(bool, 'They see the action.', fixed=True),
    'disag_action_next': Key(
        bool, 'They see the action that follows instead of the one before, as '
        'in arXiv 2005.05960 (not in the original).', fixed=True),
    'expl_model_loss': Key(
        str, 'Loss of the world model that ModelLoss seeks: kl, reward, image '
        '...'),
}
