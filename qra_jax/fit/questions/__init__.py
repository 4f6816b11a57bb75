"""Runs with a history for every question: by which clock do the questions move?

`read_histories` reads a table of accuracies, question by visit; `clock_exponent` fits the exponent a of
ż ∝ (4ρ(1 − ρ))^a of questions with two patterns and compares the clocks of known algorithms; [`QuestionModel`][] says
what else may vary. Where questions have several patterns the exponent does not say which clock it was: `populations`
simulates them, and `free` and `hierarchy` are estimates that leave the patterns open.
"""

from qra_jax.fit.questions.exponent import (
    Clock as Clock,
    ClockExponent as ClockExponent,
    MeasuredRun as MeasuredRun,
    clock_exponent as clock_exponent,
    clock_tables as clock_tables,
)
from qra_jax.fit.questions.histories import Histories as Histories, read_histories as read_histories
from qra_jax.fit.questions.likelihood import QuestionModel as QuestionModel
