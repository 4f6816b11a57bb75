"""A dozen lines that use most of the package, timed by `startup.py`."""

import jax

import qra_jax as qra

jax.config.update("jax_enable_x64", True)
problem = qra.Problem.from_probs(ref=[0.05, 0.70, 0.25], success=[0.9, 0.6, 0.1])
print(qra.theory.regime(problem))  # → Regime(entangled, γ = 6, best 0, rival 1; 1 rival)
hit = qra.orbit.hit(problem, target=0.99, algorithm=qra.grpo(group_size=8))
print(f"{jax.numpy.exp(hit.log_time):.3f}")  # → 127.128
flow = qra.flow.solve(problem, ts=[1.0, 100.0], regularizers=[qra.reverse_kl(0.01)])
print(flow.accuracy.round(3))  # → [0.504 0.812]


def train(key, eta):
    return qra.training.train(key, problem, algorithm=qra.grpo(8), learning_rate=eta, steps=300).policy[-1, 0]


found = qra.many(train)(jax.random.split(jax.random.key(0), 1000), jax.numpy.full(1000, 0.5)) > 0.9
print(f"{found.mean():.2f} of 1000 sampled runs find the best pattern")
problems = jax.vmap(lambda key: qra.problem.random(key, patterns=10))(
    jax.random.split(jax.random.key(0), 20_000)
)
slow = jax.numpy.percentile(qra.many(qra.orbit.log_hitting_time)(problems), 90)
print(
    f"one in ten takes longer than 10^{slow / jax.numpy.log(10):.1f}"
)  # → one in ten takes longer than 10^12.7
