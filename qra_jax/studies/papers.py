"""What the literature claims, one entry a claim, as the paper makes it and no more strongly."""

from qra_jax.studies.lab.origin import Paper

# Question, reason, answer: selection of reasoning patterns (v1 and v2 have different titles and theorems)

QRA_1 = Paper(
    "QRA-1",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="Proposition 5.2",
    says=(
        "The KL-regularised objective is maximal at π_ref·exp(R/β)/Z, which picks the patterns of largest "
        "reward as β → 0."
    ),
)
QRA_2_MONOTONE = Paper(
    "QRA-2-MONOTONE",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="Theorem 5.3",
    says=(
        "Regime 1: where base accuracy exceeds the success rate of every suboptimal pattern, π(r*) rises "
        "monotonically along the gradient flow."
    ),
)
QRA_2_RATE = Paper(
    "QRA-2-RATE",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="Theorem 5.3",
    says="Regime 1: the time until π(r*) is 1 − ε is O(1/ε), an upper bound.",
)
QRA_3 = Paper(
    "QRA-3",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="Theorem 5.4",
    says=(
        "Regime 2: where exactly one suboptimal pattern r′ has a success rate above base accuracy, r* and "
        "r′ are entangled until accuracy exceeds the success rate of r′; the transition time T_0 up to "
        "there is given as super-exponential in γ, the sum of π_ref over all patterns but r′, divided by "
        "π_ref(r*)."
    ),
    reported="worked case γ = (.25 + .05)/.05 = 6 with success rate .70 of r′",
)
QRA_3_BOUND = Paper(
    "QRA-3-BOUND",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="Theorem 5.4",
    says=(
        "Regime 2: T_0 is at most of the form γ^(Cγ), with a constant C that is not given; a bound from "
        "above, under the assumption of one rival."
    ),
)
QRA_4_RISE = Paper(
    "QRA-4-RISE",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="Theorem 5.6",
    says=(
        "Internal feedback with β = 0, two answers, a uniform base policy, success rates drawn from U[0, 1] "
        "and a base model that is more often right than wrong: the probability that accuracy rises at first "
        "tends to 1 as the number of patterns grows."
    ),
)
QRA_4_WORST = Paper(
    "QRA-4-WORST",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="Theorem 5.6",
    says=(
        "Under the assumptions of QRA-4-RISE training on internal feedback ends in the worst pattern with "
        "probability ½ as the number of patterns grows."
    ),
    reported="simulations with 10³ and 10⁴ patterns: 48.7 % : 51.3 %",
)
QRA_5 = Paper(
    "QRA-5",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v1",
    place="abstract",
    says=(
        "The slow optimisation of weak models can be mitigated by SFT before RLVR, given an SFT data set of "
        "sufficiently high quality."
    ),
    read="in part",
)
QRA_ASSUMPTION = Paper(
    "QRA-ASSUMPTION",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="Assumption 5.1",
    says=(
        "The model of the theorems: RL changes how often each pattern is selected, while the success rate "
        "of a pattern stays as it is in the base model."
    ),
)
QRA_6_STABLE = Paper(
    "QRA-6-STABLE",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="abstract",
    says="Success rates of the single patterns are relatively stable in the course of RL training.",
    reported="Qwen2.5-3B on MATH; no number quoted",
    read="in part",
)
QRA_6_SELECT = Paper(
    "QRA-6-SELECT",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v1",
    place="abstract",
    says=(
        "The main benefit of RLVR comes from better selection among existing patterns; trained models "
        "prefer patterns of high success rate."
    ),
    read="in part",
)
QRA_6_WANDER = Paper(
    "QRA-6-WANDER",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="experiments",
    says="RLVR moves steadily to better patterns, while the choice under internal feedback wanders.",
    reported="Qwen2.5-3B on MATH; no number quoted",
)
QRA_7_RANKS = Paper(
    "QRA-7-RANKS",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="token-level analysis",
    says=(
        "RL changes the probability rank of few of the tokens that the trained model emits; more with "
        "training, and more under internal feedback than under RLVR."
    ),
    reported=(
        "share of changed ranks in %, steps 20/60/100: GSM8K RLVR 5.2/6.6/7.3, RLIF 6.8/8.9/10.1; MATH RLVR "
        "5.3/6.1/6.6, RLIF 6.1/7.7/8.8; AIME24 RLVR 5.1/5.9/6.3"
    ),
)
QRA_7_CRITICAL = Paper(
    "QRA-7-CRITICAL",
    authors="Chen, Li, Zou",
    arxiv="2506.04695",
    version="v2",
    place="abstract",
    says=(
        "RL acts mainly on a sparse set of critical tokens, and thereby changes the distribution of "
        "reasoning patterns."
    ),
    read="in part",
)


# Optimal policies and success rates under a KL term

POS_OPTIMUM = Paper(
    "POS-OPTIMUM",
    authors="Mroueh",
    arxiv="2503.06639",
    version="v4",
    place="abstract",
    says=(
        "With rewards standardised under the previous policy, and a KL term to the previous policy "
        "(mirror), to a fixed reference, or to both, each round has an explicit optimal policy, given by "
        "the reward, its mean and variance under the previous policy, and the policies of the KL terms."
    ),
    read="in part",
)
POS_RECURSION = Paper(
    "POS-RECURSION",
    authors="Mroueh",
    arxiv="2503.06639",
    version="v4",
    place="abstract",
    says=(
        "The probability of success over rounds obeys a simple recursion, which converges to a fixed point "
        "set by the reference's probability of success and the strength of regularisation."
    ),
    read="in part",
)
POS_EXCEEDS = Paper(
    "POS-EXCEEDS",
    authors="Mroueh",
    arxiv="2503.06639",
    version="v4",
    place="abstract",
    says="The fixed point of the recursion exceeds the reference's probability of success.",
    read="in part",
)
POS_EXISTS = Paper(
    "POS-EXISTS",
    authors="Mroueh",
    arxiv="2503.06639",
    says=(
        "The map of the recursion has ε > 0 under the root of its variance; it then has a fixed point, and "
        "convergence to it is local, under conditions on its slope."
    ),
)
K3 = Paper(
    "K3",
    authors="Shao et al.",
    arxiv="2402.03300",
    place="equation 4",
    says=(
        "KL(π‖π_ref) is estimated at each token by π_ref/π − log(π_ref/π) − 1, an unbiased and non-negative "
        "estimator, added to the loss of GRPO."
    ),
)
KL_COLLAPSE = Paper(
    "KL-COLLAPSE",
    authors="GX-Chen et al.",
    arxiv="2510.20817",
    version="v1",
    place="abstract",
    says=(
        "Whether the KL term is reverse or forward sets the family of target distributions; coverage of "
        "modes depends mainly on the strength of regularisation and on the scales of rewards and reference "
        "probabilities; weak regularisation and equal rewards tend to specify a target with a single mode."
    ),
    read="in part",
)


# Noisy verifiers

NOISE_PHASE = Paper(
    "NOISE-PHASE",
    authors="Rad et al.",
    arxiv="2601.04411",
    version="v1",
    place="abstract",
    says=(
        "In a mean-field bandit model of GRPO with errors of the verifier, the drift of the mass on wrong "
        "modes depends on the noise through Youden's index J = TPR − FPR alone: for J > 0 that mass "
        "vanishes, at J = 0 the process is neutral, for J < 0 wrong modes take over."
    ),
    read="in part",
)
NOISE_TIME = Paper(
    "NOISE-TIME",
    authors="Rad et al.",
    arxiv="2601.04411",
    version="v1",
    place="abstract",
    says='For J > 0 noise primarily rescales the time of convergence ("rate, not fate").',
    read="in part",
)
NOISE_FIFTEEN = Paper(
    "NOISE-FIFTEEN",
    authors="",
    arxiv="2604.07666",
    version="v1",
    place="abstract",
    says=(
        "Training is robust to moderate noise of the verifier, in code and science tasks and over several "
        "model families; precision counts for more than overall accuracy."
    ),
    reported="noise rates up to 15 %: peak validation accuracy within 2 points of clean training",
    read="in part",
)


# Predictability of runs and of weights

A_3 = Paper(
    "A-3",
    authors="Cai et al.",
    arxiv="2510.00553",
    place="AlphaRL",
    says=(
        "Extrapolation of the top direction from a short early window reaches most of the final performance "
        "and saves steps."
    ),
    reported=(
        "40 % of the steps: above 96 % of the final performance, up to 2.5 × faster; DAPO 46.30 → 53.31 of "
        "53.38"
    ),
    read="in full",
)
RELEX = Paper(
    "RELEX",
    authors="Wei et al.",
    arxiv="2605.21468",
    version="v1",
    place="abstract",
    says=(
        "A rank-1 fit of the weights' path with a straight line in the step, from a short prefix of the "
        "run, gives later checkpoints as good as those of RLVR or better."
    ),
    reported="as few as 15 % of the steps; up to 10 to 20 × beyond the prefix",
    read="in part",
)


# RL in name only

RINO_1 = Paper(
    "RINO-1",
    authors="Samineni et al.",
    arxiv="2505.13697",
    version="v4",
    place="abstract",
    says=(
        "With the token history as the state and the reward split evenly over the tokens, GRPO reduces to "
        "filtered iterative SFT, an on-policy, outcome-weighted form of supervised learning."
    ),
    reported="identity",
    read="in part",
)
RINO_2 = Paper(
    "RINO-2",
    authors="Samineni et al.",
    arxiv="2505.13697",
    version="v4",
    place="abstract; experiments",
    says="Filtered iterative SFT with positives and negatives performs comparably to GRPO.",
    reported="1.5B, GSM8K: GRPO 78.2, ± 76.4, + 75.0; Countdown: GRPO 71.4, ± 65.9, + 53.6",
    read="in part",
)
RINO_2_NEGATIVES = Paper(
    "RINO-2-NEGATIVES",
    authors="Samineni et al.",
    arxiv="2505.13697",
    version="v4",
    says="Filtered iterative SFT on negatives alone collapses on Countdown.",
    reported="1.5B",
)
RINO_3 = Paper(
    "RINO-3",
    authors="Samineni et al.",
    arxiv="2505.13697",
    version="v4",
    place="abstract; experiments",
    says=(
        "The structural assumptions, division of the reward by length among them, indirectly favour longer "
        "outputs; wrong answers grow."
    ),
    reported="wrong answers grow under GRPO and under ±",
    read="in part",
)


# Internal feedback

NFL_1 = Paper(
    "NFL-1",
    authors="Zhang et al.",
    arxiv="2506.17219",
    version="v2",
    place="abstract",
    says=(
        "Under internal feedback performance of base models rises at first, to the level of RLVR or above, "
        "and falls below that of the untrained model as training goes on."
    ),
    reported="MATH500, steps 0/20/80: .524/.583/.454, .587/.621/.532, .591/.571/.522",
    read="in part",
)
NFL_2 = Paper(
    "NFL-2",
    authors="Zhang et al.",
    arxiv="2506.17219",
    version="v2",
    place="mixing of weights",
    says=(
        "The gain grows with the policy entropy of the start, and there is little where the start has "
        "little entropy, as instruction-tuned models have."
    ),
    reported=(
        "weights interpolated from base to instruct, m = 0/.1/.2/1: entropy .81/.71/.44/.38 nats; no gain "
        "below about .5"
    ),
)
NFL_3 = Paper(
    "NFL-3",
    authors="Zhang et al.",
    arxiv="2506.17219",
    version="v2",
    says="A large part of the early gain is format.",
    reported="right answers ignoring format 291/289/235",
)
NFL_4 = Paper(
    "NFL-4",
    authors="Zhang et al.",
    arxiv="2506.17219",
    version="v2",
    place="theorem",
    says="Self-certainty, token entropy and trajectory entropy are partly equivalent as objectives.",
    read="in part",
)


# Geometry and sparsity of updates

GEO_3 = Paper(
    "GEO-3",
    authors="Mukherjee et al.",
    arxiv="2602.07729",
    version="v1",
    place="abstract",
    says="SGD matches or outperforms AdamW in RL of language models.",
    read="in part",
)
GEO_3_LESS = Paper(
    "GEO-3-LESS",
    authors="Mukherjee et al.",
    arxiv="2602.07729",
    version="v1",
    place="abstract",
    says=(
        "Momentum and adaptive rates of AdamW matter less in RL than in supervised fine-tuning, so that RL benefits "
        "less from them."
    ),
    read="in part",
)
GEO_3_SPARSE = Paper(
    "GEO-3-SPARSE",
    authors="Mukherjee et al.",
    arxiv="2602.07729",
    version="v1",
    place="abstract",
    says="SGD changes far fewer weights than AdamW in RL.",
    reported="below .02 % to .5 % against about 9 %",
    read="in part",
)


# Pass@k, diversity, entropy

PK_1 = Paper(
    "PK-1",
    authors="Yue et al.",
    arxiv="2504.13837",
    says="Models after RLVR win at pass@1, base models at pass@k with large k.",
    reported=(
        "pass@256 of the base is always more than 40 points above pass@1 after RL, over six algorithms; at "
        "most 1 % of the questions solved by RL only"
    ),
    read="in part",
)
PK_1_NARROWER = Paper(
    "PK-1-NARROWER",
    authors="Yue et al.",
    arxiv="2504.13837",
    says=(
        "At large k base models solve questions that RLVR models no longer solve: RLVR narrows what can be "
        "reached by sampling."
    ),
    read="in part",
)
PK_2 = Paper(
    "PK-2",
    authors="Yue et al.",
    arxiv="2504.13837",
    says="The share of questions of accuracy zero rises while mean accuracy rises.",
    read="in part",
)
PKPO = Paper(
    "PKPO",
    authors="Walder, Karkhanis",
    arxiv="2505.15201",
    place="abstract",
    says=(
        "Rewards transformed jointly over a group give low-variance, unbiased estimators of pass@k and its "
        "gradient, so that training raises the target pass@k; larger k solves more and harder problems."
    ),
    read="in part",
)
NSR = Paper(
    "NSR",
    authors="Zhu et al.",
    arxiv="2506.01347",
    version="v2",
    place="abstract",
    says=(
        "Training on negative samples alone improves on the base model at every k, and often matches PPO "
        "and GRPO or does better."
    ),
    reported="k up to 256; Qwen2.5-Math-7B, Qwen3-4B, Llama-3.1-8B-Instruct",
    read="in part",
)
ENTROPY_LAW = Paper(
    "ENTROPY-LAW",
    authors="Cui et al.",
    arxiv="2505.22617",
    version="v1",
    place="abstract",
    says=(
        "Downstream performance and policy entropy are tied by R = −a e^H + b in runs without intervention "
        "on entropy."
    ),
    read="in part",
)
ENTROPY_CEILING = Paper(
    "ENTROPY-CEILING",
    authors="Cui et al.",
    arxiv="2505.22617",
    version="v1",
    place="abstract",
    says="The law makes the ceiling of performance predictable, R = −a + b at zero entropy.",
    read="in part",
)
ENTROPY_COVARIANCE = Paper(
    "ENTROPY-COVARIANCE",
    authors="Cui et al.",
    arxiv="2505.22617",
    version="v1",
    place="abstract",
    says=(
        "The change of policy entropy is driven by the covariance of an action's log-probability and the "
        "change of its logit; it stays mostly positive in training, so that entropy falls."
    ),
    read="in part",
)
CLIP_LOW = Paper(
    "CLIP-LOW",
    authors="Park et al.",
    arxiv="2509.26114",
    version="v1",
    place="abstract",
    says="Clip-low of PPO and GRPO (on negative advantages) raises entropy.",
    read="in part",
)
CLIP_HIGH = Paper(
    "CLIP-HIGH",
    authors="Park et al.",
    arxiv="2509.26114",
    version="v1",
    place="abstract",
    says="Clip-high of PPO and GRPO (on positive advantages) lowers entropy.",
    read="in part",
)
CLIP_BOTH = Paper(
    "CLIP-BOTH",
    authors="Park et al.",
    arxiv="2509.26114",
    version="v1",
    place="abstract",
    says=(
        "Under standard clipping parameters the effect of clip-high dominates, so that entropy falls even "
        "with purely random rewards."
    ),
    read="in part",
)


# Pre-training, demonstrations, what to train on

RELIFT = Paper(
    "RELIFT",
    authors="Ma et al.",
    arxiv="2506.07527",
    place="abstract",
    says=(
        "RL interleaved with SFT on questions that RL does not solve surpasses RL alone and SFT alone, with "
        "fewer demonstrations."
    ),
    reported="52.6 against RL 46.9, SFT 49.0",
    read="in part",
)
RELIFT_EVERY_STEP = Paper(
    "RELIFT-EVERY-STEP",
    authors="Ma et al.",
    arxiv="2506.07527",
    says="SFT at every step does much worse.",
    reported="23.8",
)
PRIM = Paper(
    "PRIM",
    authors="Yao et al.",
    arxiv="2511.12429",
    version="v1",
    place="abstract",
    says=(
        "Initialising a model with diverse reasoning primitives of high quality (Tailor) is essential for "
        "stable and sample-efficient RL and gives higher performance after it."
    ),
    read="in part",
)
INFL = Paper(
    "INFL",
    authors="Cen et al.",
    arxiv="2505.18917",
    place="project page",
    says=(
        "The influence of a query on the GRPO objective in one step is, to first order, the expectation of "
        "√(a(1 − a)) × advantage × (kernel with right − with wrong rollouts), with a the rollout accuracy "
        "of the query (BRIDGE)."
    ),
    read="in part",
)
TSALLIS_DIRECTION = Paper(
    "TSALLIS-DIRECTION",
    authors="",
    arxiv="2604.25907",
    version="v2",
    place="abstract",
    says=(
        "The losses of the Tsallis family, from RLVR (q = 0) to the log-likelihood (q = 1), have one "
        "gradient direction for an example and differ by the factor P^(−q)."
    ),
    read="in part",
)
TSALLIS_COLD = Paper(
    "TSALLIS-COLD",
    authors="",
    arxiv="2604.25907",
    version="v2",
    place="abstract",
    says=(
        "Under gradient flow RLVR needs Ω(1/p₀) to escape a cold start of success probability p₀, q = 1 "
        "Θ(log 1/p₀)."
    ),
    read="in part",
)
TSALLIS_NOISE = Paper(
    "TSALLIS-NOISE",
    authors="",
    arxiv="2604.25907",
    version="v2",
    place="abstract",
    says="q = 1 memorises label noise, to which q = 0 is robust.",
    read="in part",
)
TSALLIS_SCHEDULE = Paper(
    "TSALLIS-SCHEDULE",
    authors="",
    arxiv="2604.25907",
    version="v2",
    place="abstract",
    says=(
        "SFT, then RLVR is a step of q from 1 to 0: SFT first leads out of the cold start, RLVR then is the "
        "more robust."
    ),
    read="in part",
)


# Step size, group size, off-policy data

OSCILLATOR_GROUP = Paper(
    "OSCILLATOR-GROUP",
    authors="Ghosh et al.",
    arxiv="2606.30789",
    version="v2",
    place="abstract",
    says="The mean trajectory of GRPO does not depend on the group size, to leading order.",
    reported="three models, two group sizes; the spread of rewards within groups keeps a dependence",
    read="in part",
)
OSCILLATOR_NOISE = Paper(
    "OSCILLATOR-NOISE",
    authors="Ghosh et al.",
    arxiv="2606.30789",
    version="v2",
    place="abstract",
    says="The group size enters, to leading order, as a temperature: stationary fluctuations go as 1/G.",
    read="in part",
)
OSCILLATOR_REFRESH = Paper(
    "OSCILLATOR-REFRESH",
    authors="Ghosh et al.",
    arxiv="2606.30789",
    version="v2",
    place="abstract",
    says="There is a sharp threshold of stability in the refresh interval of the sampling policy.",
    read="in part",
)
GROUP_UNIVERSAL = Paper(
    "GROUP-UNIVERSAL",
    authors="Zhou et al.",
    arxiv="2603.01162",
    version="v1",
    place="abstract",
    says="GRPO's gradient is a U-statistic, and the optimal group size follows a universal scaling law.",
    read="in part",
)
GROUP_BUDGET = Paper(
    "GROUP-BUDGET",
    authors="",
    arxiv="2606.05800",
    place="abstract",
    says="The optimal group size is not independent of the budget.",
)


# What the weights do

NTK_1 = Paper(
    "NTK-1",
    authors="Tomihari",
    arxiv="2601.04670",
    version="v1",
    place="decomposition of the kernel",
    says=(
        "The change of log π under a training step splits by the logit kernel K = R + G into a part of "
        "representations, R = ⟨φ, φ′⟩ I, and a part of gradients through the features, G = W J_φ J_φ′ᵀ Wᵀ."
    ),
    reported="exact to first order",
    read="second-hand",
)
NTK_2 = Paper(
    "NTK-2",
    authors="Tomihari",
    arxiv="2601.04670",
    version="v1",
    place="abstract",
    says=(
        "Limited variability of feature representations can make RL updates raise confidence "
        "systematically, which may explain the loss of diversity after RL."
    ),
    reported="",
    read="in part",
)
NTK_3 = Paper(
    "NTK-3",
    authors="Tomihari",
    arxiv="2601.04670",
    version="v1",
    place="abstract",
    says="Training the unembedding first, then everything (CF-RL), optimises faster and raises confidence.",
    reported="about one epoch of the unembedding alone, then about six of everything",
    read="in part",
)
NTK_3_MECHANISM = Paper(
    "NTK-3-MECHANISM",
    authors="Tomihari",
    arxiv="2601.04670",
    version="v1",
    place="abstract",
    says=(
        "The mechanism of CF-RL differs from that of linear probing before fine-tuning in supervised "
        "learning: norms or drift of features do not explain it."
    ),
    reported="",
    read="second-hand",
)
A_1 = Paper(
    "A-1",
    authors="Cai et al.",
    arxiv="2510.00553",
    version="",
    place="rank-1 dominance",
    says=(
        "The top singular direction of each weight update, rescaled to the norm of the whole update, "
        "recovers nearly all of the gain of RL, but not that of supervised training."
    ),
    reported=(
        "relative accuracy above 99 % for RL; SFT 2.5 %, distillation 1.5 %, online distillation 56 %, DPO "
        "62 %"
    ),
    read="in full",
)
A_1_SHARE = Paper(
    "A-1-SHARE",
    authors="Cai et al.",
    arxiv="2510.00553",
    version="",
    place="rank-1 dominance",
    says=(
        "The top direction holds a small share of the norm of the update, so that it has to be scaled up; "
        "the gain is largest below the full norm."
    ),
    reported="19 % of the norm (scale about 5); best at about .7 of the full norm",
    read="in full",
)
A_2 = Paper(
    "A-2",
    authors="Cai et al.",
    arxiv="2510.00553",
    version="",
    place="rank-1 linear dynamics",
    says="The top left singular vector moves linearly with accuracy in the course of training.",
    reported="PLS regression, R² about .91, 27 checkpoints",
    read="in full",
)
EXPO = Paper(
    "EXPO",
    authors="Zheng et al.",
    arxiv="2404.16792",
    version="",
    place="",
    says=(
        "Extrapolating weights beyond a trained model, θ₁ + α(θ₁ − θ₀), improves it without further training."
    ),
    reported="α between .3 and .5",
    read="second-hand",
)
RELEX_RANK = Paper(
    "RELEX-RANK",
    authors="Wei et al.",
    arxiv="2605.21468",
    version="v1",
    place="abstract",
    says=(
        "Neither a higher rank nor a nonlinear model extrapolates better than rank 1 and a line; projection "
        "removes noise of optimisation."
    ),
    reported="",
    read="in part",
)
LINEAR = Paper(
    "LINEAR",
    authors="Wang et al.",
    arxiv="2601.04537",
    version="",
    place="abstract",
    says=(
        "During RLVR weights and output log-probabilities are strongly linear in the training step, and "
        "extrapolated weights do about as well as further training."
    ),
    reported="more than 70 % of the weights with R² above .7",
    read="in part",
)
LINEAR_NOISE = Paper(
    "LINEAR-NOISE",
    authors="Wang et al.",
    arxiv="2601.04537",
    version="",
    place="abstract of the latest version",
    says=(
        "The linearity stems from the noisy training signal of RLVR; noise added to SFT makes that linear, "
        "too."
    ),
    reported="",
    read="second-hand",
)
GEO_1 = Paper(
    "GEO-1",
    authors="Zhu et al.",
    arxiv="2511.08567",
    version="",
    place="",
    says=(
        "RL updates avoid the principal directions of the weights and sit on weights of small magnitude; "
        "masks of runs with other data and algorithms overlap."
    ),
    reported="bf16 sparsity: RL 36–92 %, SFT .6–19 %; Jaccard overlap of masks .55–.60 (chance .37–.47)",
    read="in full",
)
GEO_2 = Paper(
    "GEO-2",
    authors="Mukherjee et al.",
    arxiv="2505.11711",
    version="",
    place="",
    says="RL changes a small subnetwork, by updates of nearly full rank.",
    reported="sparsity 68–96 %, rank above 99 %",
    read="in part",
)
GEO_2_SUBNETWORK = Paper(
    "GEO-2-SUBNETWORK",
    authors="Mukherjee et al.",
    arxiv="2505.11711",
    version="",
    place="",
    says="Training the subnetwork alone reproduces the full run.",
    reported="",
    read="in part",
)
GEO_2_CAUSE = Paper(
    "GEO-2-CAUSE",
    authors="Mukherjee et al.",
    arxiv="2505.11711",
    version="",
    place="",
    says="Training on data near the policy is the main cause of the sparsity.",
    reported="sparsity with SFT on rejection samples 91 %, with off-policy DPO 7 %",
    read="in part",
)
CIRCUITS = Paper(
    "CIRCUITS",
    authors="",
    arxiv="2509.21044",
    version="",
    place="",
    says=(
        "After RL, not after DPO, edges between attention and MLP outputs are stronger on average and more "
        "diverse: mean and entropy of their magnitudes up, kurtosis down."
    ),
    reported="",
    read="second-hand",
)
ES = Paper(
    "ES",
    authors="Qiu et al.",
    arxiv="2509.24372",
    version="v1",
    place="",
    says=(
        "Evolution strategies on all weights, with small populations and greedy decoding, outperform RL "
        "fine-tuning."
    ),
    reported="30 members, σ = 1e-3; Countdown 7B 66.8 against 57.5",
    read="in full",
)
ES_SPREAD = Paper(
    "ES-SPREAD",
    authors="Qiu et al.",
    arxiv="2509.24372",
    version="v1",
    place="",
    says="Runs of evolution strategies vary less from seed to seed than RL does.",
    reported="spread 15.5 × lower",
    read="in full",
)
ES_DRIFT = Paper(
    "ES-DRIFT",
    authors="",
    arxiv="2608.27351",
    version="",
    place="abstract",
    says="Evolution strategies cover more and drift further off the task than RL.",
    reported="",
    read="second-hand",
)

# Reward and credit: steps of an answer, shaped rewards, preferences, and what a bandit decides

KL_FILTERED = Paper(
    "KL-FILTERED",
    authors="",
    arxiv="2605.02375",
    version="",
    place="abstract",
    says=(
        "The aim of RL with verifiable rewards and a KL term is related to the base policy, filtered by the "
        "verifier."
    ),
    reported="",
    read="second-hand",
)
NOISE_CORRELATED = Paper(
    "NOISE-CORRELATED",
    authors="",
    arxiv="2609.06386",
    version="",
    place="abstract",
    says=(
        "Errors of a verifier are correlated within a group of rollouts, which lowers the effective group "
        "size."
    ),
    reported="correlation .53; effective group size 1.7 of 8",
    read="second-hand",
)
NOISE_SECOND_VERIFIER = Paper(
    "NOISE-SECOND-VERIFIER",
    authors="",
    arxiv="2608.00220",
    version="",
    place="abstract",
    says="Training on one verifier starves best-of-k under another one.",
    reported="",
    read="second-hand",
)
RARITY = Paper(
    "RARITY",
    authors="",
    arxiv="2608.03467",
    version="",
    place="abstract",
    says="Credit weighted by rarity raises pass@k.",
    reported="",
    read="second-hand",
)
COVERAGE = Paper(
    "COVERAGE",
    authors="",
    arxiv="2608.25756",
    version="",
    place="abstract",
    says="A ratio of coverage decides between filtered SFT and RL.",
    reported="",
    read="second-hand",
)
NORM_LIMITED = Paper(
    "NORM-LIMITED",
    authors="",
    arxiv="2608.03573",
    version="",
    place="abstract",
    says="SFT is limited by the norm of the update, RL by its variance.",
    reported="",
    read="second-hand",
)
SELECT_IMPROVE = Paper(
    "SELECT-IMPROVE",
    authors="Krishnamurthy, Huang, Rajaraman",
    arxiv="2606.13125",
    version="v1",
    place="abstract",
    says=(
        "RL post-training works by selecting strategies and by improving them: SFT on diverse strategies "
        "enables selection, harder RL data improvement."
    ),
    reported="Qwen2.5-1.5B, controlled problems",
    read="in part",
)
SIGNED = Paper(
    "SIGNED",
    authors="",
    arxiv="2605.07689",
    version="",
    place="abstract",
    says="Advantages 2R − 1 do better than those of Dr.GRPO in small groups.",
    reported="73.8 against 28.4 % at G = 4",
    read="second-hand",
)
ABSTAIN = Paper(
    "ABSTAIN",
    authors="",
    arxiv="2608.00301",
    version="",
    place="abstract",
    says=(
        "With rewards 0, +1, −λ for abstention, right and wrong, division by the standard deviation of the "
        "group takes away the effect of λ."
    ),
    reported="",
    read="second-hand",
)
LENGTH_WEIGHTS = Paper(
    "LENGTH-WEIGHTS",
    authors="",
    arxiv="2607.23364",
    version="",
    place="abstract",
    says="Weights by length cannot be unbiased and invariant at once.",
    reported="",
    read="second-hand",
)
VINE = Paper(
    "VINE",
    authors="Kazemnejad et al.",
    arxiv="2410.01679",
    version="",
    place="",
    says=(
        "Credit by Monte-Carlo values of the steps does better than PPO's critic and than uniform credit, "
        "with fewer updates."
    ),
    reported="9 × fewer steps",
    read="in part",
)
PROCESS_REWARD = Paper(
    "PROCESS-REWARD",
    authors="",
    arxiv="2509.21154",
    version="",
    place="",
    says="GRPO amounts to a process reward on prefixes that the rollouts of a group share.",
    reported="",
    read="second-hand",
)
IBRO = Paper(
    "IBRO",
    authors="Lei et al.",
    arxiv="2507.18391",
    version="v1",
    place="abstract",
    says=(
        "A term of advantage times entropy of each token, from an information bottleneck, improves "
        "reasoning for several RL algorithms."
    ),
    reported="",
    read="in part",
)
SATORI = Paper(
    "SATORI",
    authors="Shen et al.",
    arxiv="2502.02508",
    version="",
    place="",
    says=(
        "RL that restarts from prefixes cut at some step, with a token of reflection and a bonus for it, "
        "teaches self-correction."
    ),
    reported="bonus ±.5",
    read="in full",
)
RLSP = Paper(
    "RLSP",
    authors="",
    arxiv="2502.06773",
    version="",
    place="",
    says="An exploration reward beside correctness makes search-like behaviour emerge.",
    reported="released reward: 1{right} − 1000/length",
    read="in part",
)
THINK = Paper(
    "THINK",
    authors="",
    arxiv="2503.16188",
    version="",
    place="",
    says=(
        "Explicit thinking is not always needed: direct answers can do as well or better under rule-based RL."
    ),
    reported="",
    read="in part",
)
TWO_STAGE_SEARCH = Paper(
    "TWO-STAGE-SEARCH",
    authors="",
    arxiv="2503.05592",
    version="",
    place="",
    says="RL in two stages, first rewarded for using search, then for answers, teaches a model to search.",
    reported="",
    read="in part",
)
TWO_STAGE_TOOLS = Paper(
    "TWO-STAGE-TOOLS",
    authors="Zeng et al.",
    arxiv="2511.01934",
    version="v2",
    place="abstract",
    says=(
        "Rewards that shift from exploratory to exploitative use of tools train tool use from a base model "
        "by RL alone."
    ),
    reported="over 7 % better than SFT and than RL after SFT",
    read="in part",
)
SHUFFLE = Paper(
    "SHUFFLE",
    authors="Zhu et al.",
    arxiv="2508.05612",
    version="",
    place="",
    says=(
        "Pairing the rollouts of largest contrast and keeping some of the pairs needs fewer steps than GRPO."
    ),
    reported="half the steps; 16 rollouts, 4 of 8 pairs kept",
    read="in part",
)
ITERATED_DPO = Paper(
    "ITERATED-DPO",
    authors="",
    arxiv="2503.12854",
    version="",
    place="",
    says="Iterated DPO on pairs from the current policy reaches performance like that of RL at less cost.",
    reported="",
    read="in part",
)
BARL = Paper(
    "BARL",
    authors="Zhang et al.",
    arxiv="2505.20561",
    version="",
    place="",
    says=(
        "Bayes-adaptive RL explains and teaches reflective exploration, where a policy trained for one "
        "fixed task fails at test time."
    ),
    reported="",
    read="second-hand",
)
SPARKLE = Paper(
    "SPARKLE",
    authors="Wang et al.",
    arxiv="2506.04723",
    version="",
    place="",
    says="RL with parts of the solution as hints makes hard problems useful for training.",
    reported="prompts with 0 to 4 quarters of the solution",
    read="in part",
)

# Data before and during RL

PRE = Paper(
    "PRE",
    authors="Zhang, Neubig, Yue",
    arxiv="2512.07783",
    version="v1",
    place="abstract",
    says=(
        "RL gives true gains of capability (pass@128) only where pre-training leaves headroom and where its data are "
        "at the edge of the model's competence, difficult but not out of reach."
    ),
    reported="up to 42 % of pass@128, out of the distribution of pre-training only",
)
PRE_EXPOSURE = Paper(
    "PRE-EXPOSURE",
    authors="Zhang, Neubig, Yue",
    arxiv="2512.07783",
    version="v1",
    place="abstract",
    says=(
        "To generalise to another context a model needs little, but enough, exposure to it in pre-training; then RL "
        "transfers reliably."
    ),
    reported="1 % of the pre-training data is enough; 0 and .1 % are not",
)
PRE_PROCESS = Paper(
    "PRE-PROCESS",
    authors="Zhang, Neubig, Yue",
    arxiv="2512.07783",
    version="v1",
    place="abstract",
    says="Rewards that look at the process reduce reward hacking and make reasoning more faithful.",
    reported="a right answer earns .2, and .8 times the share of right steps",
)
INFL_CONDITIONS = Paper(
    "INFL-CONDITIONS",
    authors="Cen et al.",
    arxiv="2505.18917",
    version="v2",
    place="abstract",
    says=(
        "Two conditions make RL after SFT effective: rollout accuracies from which RL can learn, and strong "
        "co-influence, by which training data affect performance on other samples (BRIDGE)."
    ),
    read="in part",
)
INFL_GAIN = Paper(
    "INFL-GAIN",
    authors="Cen et al.",
    arxiv="2505.18917",
    version="v2",
    place="abstract",
    says=(
        "Demonstrations into which exploring and exploiting behaviours are injected before RL significantly "
        "increase the gain of RL over the model before it (BRIDGE)."
    ),
    read="in part",
)
PRE_MID = Paper(
    "PRE-MID",
    authors="Zhang, Neubig, Yue",
    arxiv="2512.07783",
    version="v1",
    place="abstract, 3",
    says="Mid-training significantly enhances performance under fixed compute compared with RL only.",
    read="in part",
)
PRE_LIGHT = Paper(
    "PRE-LIGHT",
    authors="Zhang, Neubig, Yue",
    arxiv="2512.07783",
    version="v1",
    says=(
        "At equal budgets most of it in mid-training, with light RL after it, has the best pass@1 at the edge of "
        "the trained band."
    ),
)
PRE_HEAVY = Paper(
    "PRE-HEAVY",
    authors="Zhang, Neubig, Yue",
    arxiv="2512.07783",
    version="v1",
    says="Heavy RL after some mid-training does best on questions far beyond what was read.",
)
ECHO_ONE = Paper(
    "ECHO-ONE",
    authors="Zhao, Meterez, Kakade, Pehlevan, Jelassi, Malach",
    arxiv="2504.07912",
    place="abstract",
    says=(
        "RL (PPO, GRPO, expert iteration) after pre-training on a mixture of formats converges towards one dominant "
        "output distribution, which amplifies a pattern of the pre-training data."
    ),
)
ECHO_BEST = Paper(
    "ECHO-BEST",
    authors="Zhao, Meterez, Kakade, Pehlevan, Jelassi, Malach",
    arxiv="2504.07912",
    says=(
        "The format that RL amplifies is typically the one the base model does best with, which need not be the most "
        "frequent one."
    ),
    reported="62 % against 28 % of the outputs at the start, and the 28 % win; in some mixtures the worse one wins",
)
ECHO_EARLY = Paper(
    "ECHO-EARLY",
    authors="Zhao, Meterez, Kakade, Pehlevan, Jelassi, Malach",
    arxiv="2504.07912",
    says="The change of format happens early in RL and coincides with the gain of pass@1.",
)
ECHO_PASS = Paper(
    "ECHO-PASS",
    authors="Zhao, Meterez, Kakade, Pehlevan, Jelassi, Malach",
    arxiv="2504.07912",
    says="While pass@1 rises in RL, pass@64 may fall.",
)
ECHO_KL = Paper(
    "ECHO-KL",
    authors="Zhao, Meterez, Kakade, Pehlevan, Jelassi, Malach",
    arxiv="2504.07912",
    says="With a larger coefficient of the KL penalty (of 0, 1e-3, 1e-2) more than one format remains.",
)
ECHO_SIZE = Paper(
    "ECHO-SIZE",
    authors="Zhao, Meterez, Kakade, Pehlevan, Jelassi, Malach",
    arxiv="2504.07912",
    says=(
        "On one mixture models of different sizes come to prefer different formats: small ones a simpler, large ones "
        "a richer one."
    ),
    reported="150M parameters: programs; 1B: natural language",
)
RPT = Paper(
    "RPT",
    authors="Dong, Dong, Tang, Ye, Sun, Sui, Wei",
    arxiv="2506.08007",
    version="v1",
    place="Abstract",
    says=(
        "Next-token prediction as a task for RL, rewarded for the right next token of a text, improves the accuracy "
        "of predicting the next token, the more so the more is computed."
    ),
)
RPT_FOUNDATION = Paper(
    "RPT-FOUNDATION",
    authors="Dong, Dong, Tang, Ye, Sun, Sui, Wei",
    arxiv="2506.08007",
    version="v1",
    place="Abstract",
    says="RL on the text of pre-training provides a strong foundation for further reinforcement fine-tuning.",
)
RLPT = Paper(
    "RLPT",
    authors="Li et al.",
    arxiv="2509.19249",
    version="v2",
    place="Abstract",
    says=(
        "RL on pre-training data, rewarded for predicting the next segment of a text, provides a solid foundation "
        "for RLVR: it extends the reasoning boundaries of models and enhances RLVR performance."
    ),
    reported="+3.0, 5.1, 8.1, 6.0, 6.6 and 5.3 points on six benchmarks for Qwen3-4B-Base",
)
