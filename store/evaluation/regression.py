"""Logistic regression with an L2 penalty by Newton's method, in float64, for many subsets of the same points.

It minimizes ‖w‖²/2 + C·Σ log(1 + exp(−y(w·x + c))) with C = 1, as scikit-learn's LogisticRegression does by default;
the intercept c is not penalized. The best w lies in the span of the points: Newton's steps are taken in an orthonormal
basis of it, so that 250 points of 768 dimensions have 250 unknowns.
"""

import numpy as np

from kotovec.store.evaluation.measures import Floats
from kotovec.store.evaluation.words import Mask

MOST_STEPS = 50  # Newton's method needs some 6
SMALLEST = 1e-10  # norm of the gradient at which the steps end
HALVINGS = 30  # of a step that makes the loss larger


class Regression:
    """Points and their classes.

    Args:
        points: (n, D) float64.
        positive: (n,) which points are of the class.
    """

    def __init__(self, points: Floats, positive: Mask) -> None:
        left, singular, right = np.linalg.svd(points, full_matrices=False)
        kept = singular > singular.max(initial=0.0) * max(points.shape) * np.finfo(np.float64).eps
        self._right = right[kept]
        self._points = np.column_stack([left[:, kept] * singular[kept], np.ones(len(points))])
        self._signs = np.where(positive, 1.0, -1.0)
        self._penalty = np.append(np.ones(self._points.shape[1] - 1), 0.0)
        everything = np.ones(len(points), dtype=np.bool_)
        self._start = self._newton(everything, np.zeros(self._points.shape[1]))
        wrong = sigmoid(-self._signs * (self._points @ self._start))
        self._inverse = np.linalg.inv(self._curvature(self._points, wrong))

    def fit(self, kept: Mask) -> tuple[Floats, float]:
        """Return the weights (D,) and the intercept of some of the points, (n,) bool."""
        found = self._newton(kept, self._near(kept))
        return found[:-1] @ self._right, float(found[-1])

    def _near(self, kept: Mask) -> Floats:
        """Return weights near the best ones of some points, by the curvature of all of them.

        Without two of 800 points it is nearly the same: ten products with vectors take the place of five solutions.
        """
        weights, before = self._start.copy(), np.inf
        points, signs = self._points[kept], self._signs[kept]
        for _ in range(MOST_STEPS):
            gradient = self._gradient(points, signs, weights)[0]
            length = float(np.linalg.norm(gradient))
            if length <= SMALLEST or length > before / 2:
                break
            weights, before = weights - self._inverse @ gradient, length
        return weights

    def _newton(self, kept: Mask, weights: Floats) -> Floats:
        points, signs = self._points[kept], self._signs[kept]
        loss = self._loss(points, signs, weights)
        for _ in range(MOST_STEPS):
            gradient, wrong = self._gradient(points, signs, weights)
            if np.linalg.norm(gradient) <= SMALLEST:
                break
            step = np.linalg.solve(self._curvature(points, wrong), gradient)
            for _ in range(HALVINGS):
                following = self._loss(points, signs, weights - step)
                if following <= loss:
                    break
                step /= 2
            else:  # rounding alone is left
                break
            weights, loss = weights - step, following
        return weights

    def _gradient(self, points: Floats, signs: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """Return the gradient of the loss, and how wrong each point is, from 0 to 1."""
        wrong = sigmoid(-signs * (points @ weights))
        return self._penalty * weights - points.T @ (signs * wrong), wrong

    def _curvature(self, points: Floats, wrong: Floats) -> Floats:
        return np.asarray((points.T * (wrong * (1 - wrong))) @ points + np.diag(self._penalty))

    def _loss(self, points: Floats, signs: Floats, weights: Floats) -> float:
        return float(self._penalty @ weights**2) / 2 + float(np.logaddexp(0, -signs * (points @ weights)).sum())


def sigmoid(values: Floats) -> Floats:
    """Return 1 / (1 + exp(−x)) of any x, without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -values)))
