"""Averaging over directed links: Stochastic Gradient Push (Assran et al., ICML 2019).

A member has a sum x and a weight; what it trains is their ratio. After each step it keeps a share of both and pushes
the others on, so that sums and weights of all, with what is on its way, stay what they are: nobody has to agree on
anything with anyone, and nobody answers. The price: weights of members that are slow grow, and those of others fall, so
nobody may be too far ahead.
"""

from __future__ import annotations

from streammac.consensus.graph import Graph
from streammac.consensus.messages import Action, Event, Push, Received, Send, Step, Stepped
from streammac.models.base import Floats


class PushSum:
    """A member that pushes.

    Parameters
    ----------
    name : str
        Its own.
    w : (D,) float array
        The parameters that it begins with.
    graph : Graph
        Who pushes to whom.
    ahead : int
        By how many iterations it may be ahead of those that push to it: 0, all push at the same pace.
    """

    def __init__(self, name: str, w: Floats, graph: Graph, ahead: int = 0) -> None:
        self.name = name
        self.ahead = ahead
        self.x = w
        self.weight = 1.0
        self.iteration = 0
        self.graph = graph
        self._begun: Floats | None = None
        """The parameters from which the step under way was asked for; None: it waits, or has not begun."""
        self._has_begun = False
        self._pushed: dict[str, int] = {}
        """The newest iteration of which a push of each source has come."""

    @property
    def w(self) -> Floats:
        """Its parameters."""
        return self.x / self.weight

    def begin(self) -> list[Action]:
        """Return what is to be done first: a step."""
        self._has_begun = True
        return self._step()

    def handle(self, event: Event) -> list[Action]:
        """Take in what has happened; return what is to be done, in this order."""
        match event:
            case Stepped(w) if self._begun is not None:
                self.x = self.x + (w - self._begun)
                self._begun = None
                pushes = self._push()
                self.iteration += 1
                return [*pushes, *self._go_on()]
            case Received(sender, Push(iteration, x, weight)):
                self.x = self.x + x
                self.weight += weight
                self._pushed[sender] = max(iteration, self._pushed.get(sender, -1))
                return self._go_on()
        return []

    def _push(self) -> list[Action]:
        targets = self.graph.targets.get(self.name, ())
        share = 1.0 / (1 + len(targets))
        self.x, self.weight = self.x * share, self.weight * share
        return [Send(name, Push(self.iteration, self.x, self.weight)) for name in targets]

    def _go_on(self) -> list[Action]:
        """Begin the next step, unless somebody is too far behind."""
        least = self.iteration - 1 - self.ahead
        late = any(self._pushed.get(n, -1) < least for n in self.graph.sources(self.name))
        return [] if self._begun is not None or late or not self._has_begun else self._step()

    def _step(self) -> list[Action]:
        self._begun = self.w
        return [Step(self.iteration, self._begun)]
