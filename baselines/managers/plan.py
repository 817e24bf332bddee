"""What the memory must hold after every step, so that the questions asked then are answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from baselines.managers.notes import (
    Form,
    Key,
    Note,
    Wording,
    evidence_forms,
    key_of,
    own_forms,
)
from baselines.managers.scripted import inserts, reply
from finemem_env.session import Session
from finemem_env.text import make_counter, normalise
from finemem_env.types import Op, Operation, Question


class Plan:
    """Notes on all questions of a session's episode.

    `questions`: by key, those that are asked. `notes`: by topic, or by question for one of its own.
    `finals_first`: where the budget is short, chunk questions give way to final ones.

    Args:
        session: at the start of its episode.
        bold: with forms that work with some readers and metrics only, and must be tried.
    """

    def __init__(self, session: Session, *, bold: bool = False) -> None:
        self._session = session
        self._bold = bold
        self._count = make_counter(session.settings.tokenizer)
        self._wording = Wording(session)
        self.questions: dict[Key, Question] = {}
        self.notes: dict[object, Note] = {}
        self.finals_first = False
        self._finals = frozenset(map(key_of, session.finals))
        for number, question in enumerate(session.finals):
            end = _asked_after(question, session) + 1
            # Without evidence any step will do: spread them, for a step takes so many operations.
            note = self._note(question, number % end)
            first = min(start for _, start in note.forms[0])
            note.uses.setdefault(key_of(question), set()).update(range(first, end))
        for step, questions in enumerate(session.drawn):
            for question in questions:
                self._note(question, 0).uses.setdefault(key_of(question), set()).add(step)

    def copy(self) -> Plan:
        """A plan whose notes can be changed apart from this one's."""
        other = object.__new__(Plan)
        other.__dict__ |= self.__dict__
        other.notes = {topic: note.copy() for topic, note in self.notes.items()}
        return other

    def wanted(self, step: int) -> dict[str, str]:
        """Normal form → text of what the memory must hold after `step`.

        What does not fit into the budget is left out: first what is asked later on only, then the
        fewest questions per token.
        """
        texts: dict[str, str] = {}
        uses: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for note in self.notes.values():
            asked = note.asked(step)
            finals = len(self._finals.intersection(asked)) if self.finals_first else 0
            for text in note.texts(step):
                texts[normalise(text)] = text
                counts = uses[normalise(text)]
                for i, count in enumerate((finals, len(asked), len(note.uses))):
                    counts[i] += count
        costs = {key: self._count(text) for key, text in texts.items()}
        budget = self._session.memory.budget
        room = float("inf") if budget is None else budget
        kept = {}

        def value(key: str) -> list[float]:
            return [count / costs[key] for count in uses[key]]

        for key in sorted(texts, key=value, reverse=True):
            if costs[key] <= room:
                room -= costs[key]
                kept[key] = texts[key]
        return kept

    def shorten(self, *, everywhere: bool = False) -> None:
        """Take shorter forms, the largest saving first, until every step fits the budget.

        Args:
            everywhere: do so for every note, whether it fits or not.
        """
        budget = self._session.memory.budget
        if budget is None and not everywhere:
            return
        loads = [0] * self._session.num_chunks
        savings: list[tuple[int, Note, int]] = []
        for note in self.notes.values():
            costs = list(map(self._cost, note.forms))
            for step in note.steps:
                loads[step] += costs[0]
            shortest = min(range(len(costs)), key=costs.__getitem__)
            savings.append((costs[0] - costs[shortest], note, shortest))
        for saving, note, shortest in sorted(savings, key=lambda entry: -entry[0]):
            fits = not everywhere and budget is not None and max(loads) <= budget
            if fits or not saving:
                break
            note.forms.insert(0, note.forms.pop(shortest))
            for step in note.steps:
                loads[step] -= saving

    def _cost(self, form: Form) -> int:
        return sum(self._count(text) for text, _ in form)

    def prefer(self, value: Callable[[Form, Question], float]) -> dict[Key, float]:
        """Keep for every note the forms that are worth most; the best value of each question."""
        best: dict[Key, float] = {}
        for note in self.notes.values():
            questions = [self.questions[key] for key in note.uses]
            worth = [sum(value(form, question) for question in questions) for form in note.forms]
            most = max(worth)
            note.forms = [form for form, own in zip(note.forms, worth, strict=True) if own >= most]
            best |= {key_of(question): value(note.forms[0], question) for question in questions}
        return best

    def join(self, value: Callable[[Form, Question], float]) -> bool:
        """Let one note serve questions on the same evidence that one text answers as well.

        "Whose number is 7?" and "What is the number of A?", say. Whether any could be joined.
        """
        groups: dict[object, list[Note]] = defaultdict(list)
        notes: dict[object, Note] = {}
        for topic, note in self.notes.items():
            evidence = self.questions[next(iter(note.uses))].evidence
            group = groups[evidence or topic]
            if not any(self._joined(other, note, value) for other in group):
                notes[topic] = note
                group.append(note)
        joined = len(notes) < len(self.notes)
        self.notes = notes
        return joined

    def _joined(self, note: Note, other: Note, value: Callable[[Form, Question], float]) -> bool:
        """Whether some form of either answers the questions of both as well; `note` then does."""
        least = {
            key: value(one.forms[0], self.questions[key])
            for one in (note, other)
            for key in one.uses
        }
        forms = [
            form
            for form in dict.fromkeys((*note.forms, *other.forms))
            if all(value(form, self.questions[key]) >= worth for key, worth in least.items())
        ]
        if forms:
            note.forms, note.uses = forms, note.uses | other.uses
        return bool(forms)

    def thin(self, each: int) -> bool:
        """Keep `each` labelled lines of every label, the longest first; whether any went.

        Other texts of the label are read by the likeness of those.
        """
        kept: dict[tuple[str, ...], int] = defaultdict(int)
        before = len(self.notes)
        for topic, note in sorted(
            self.notes.items(), key=lambda entry: -self._cost(entry[1].forms[0])
        ):
            (question, *_) = (self.questions[key] for key in note.uses)
            if question.type == "label":
                kept[question.answers] += 1
                if kept[question.answers] > each:
                    del self.notes[topic]
        return len(self.notes) < before

    def change(self, key: Key) -> bool:
        """Give a failing question a note of its own, then the next form of that note."""
        question = self.questions[key]
        note = next((one for one in self.notes.values() if key in one.uses), None)
        if note is None:
            return False
        if len(note.uses) > 1:
            start = max(start for _, start in note.forms[0])
            forms = [*self._own_forms(question, start), *note.forms]
            self.notes[key] = Note(forms, {key: note.uses.pop(key)})
        elif len(note.forms) > 1:
            del note.forms[0]
        else:
            return False
        return True

    def action(self, session: Session) -> str:
        """The operations that bring the memory of `session` to what its current step wants."""
        wanted = self.wanted(session.step_index)
        held = {normalise(item.content): item.id for item in session.memory.items()}
        gone = [item_id for key, item_id in held.items() if key not in wanted]
        operations = [Operation(Op.DELETE, item_id=item_id) for item_id in gone]
        operations += inserts(text for key, text in wanted.items() if key not in held)
        return reply(operations[: session.settings.max_operations], session.lines)

    def _note(self, question: Question, start: int) -> Note:
        """The note that answers `question`; without evidence it is written at step `start`."""
        self.questions[key_of(question)] = question
        topic = _topic(question)
        if topic not in self.notes:
            start = max((entry.chunk for entry in question.evidence), default=start)
            self.notes[topic] = Note(
                [*evidence_forms(question, bold=self._bold), *self._own_forms(question, start)]
            )
        return self.notes[topic]

    def _own_forms(self, question: Question, start: int) -> list[Form]:
        tokens = self._session.answer_tokens(question)
        return own_forms(question, start, self._wording, tokens, bold=self._bold)


def _topic(question: Question) -> object:
    """Questions of one topic are answered by one note."""
    if question.evidence and question.type in ("fact", "multi_hop"):
        return question.evidence, question.answers
    return "", key_of(question)


def _asked_after(question: Question, session: Session) -> int:
    return session.num_chunks - 1 if question.asked_after is None else question.asked_after
