"""Small data sets in the publishers' own formats, written on the spot."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["WRITERS", "write_all"]


def _squad(root: Path) -> None:
    for file, articles in (("dev-v1.1.json", 30), ("train-v1.1.json", 4)):
        data: list[Any] = [
            {
                "title": f"Place_{a}_of_{file[:3]}",
                "paragraphs": [_paragraph(a, p) for p in range(6)],
            }
            for a in range(articles)
        ]
        (root / file).write_text(json.dumps({"version": "1.1", "data": data}))
        for article in data:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"][::2]:
                    asked |= {"is_impossible": True, "answers": [], "plausible_answers": []}
        second = file.replace("v1.1", "v2.0")
        (root / second).write_text(json.dumps({"version": "v2.0", "data": data}))


def _paragraph(article: int, number: int) -> dict[str, object]:
    facts = [f"value{article}x{number}x{k}" for k in range(4)]
    sentences = [
        f"In place {article} the part {number}.{k} is called {fact}."
        for k, fact in enumerate(facts)
    ]
    context = " ".join(sentences)
    return {
        "context": context,
        "qas": [
            {
                "id": f"{article}-{number}-{k}",
                "question": f"What is part {number}.{k} of place {article} called?",
                "answers": [{"text": fact, "answer_start": context.index(fact)}],
            }
            for k, fact in enumerate(facts)
        ],
    }


def _hotpotqa(root: Path) -> None:
    for file, count in (("hotpot_train_v1.1.json", 12), ("hotpot_dev_distractor_v1.json", 30)):
        records = [_hotpot_record(f"{file[7:10]}{i}") for i in range(count)]
        (root / file).write_text(json.dumps(records))


def _hotpot_record(name: str) -> dict[str, object]:
    context = [
        [f"Title {name} {p}", [f"Thing {name} {p} is old.", f" It was made by maker{name}x{p}."]]
        for p in range(10)
    ]
    return {
        "_id": name,
        "question": f"Who made both things of {name}?",
        "answer": f"maker{name}x7",
        "type": "bridge",
        "level": "easy",
        "supporting_facts": [[f"Title {name} 2", 0], [f"Title {name} 7", 1]],
        "context": context,
    }


def _banking77(root: Path) -> None:
    for file, each in (("train.csv", 60), ("test.csv", 12)):
        with (root / file).open("w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(("text", "category"))
            for i in range(each):
                for label in range(12):
                    text = f"my {file[:-4]} request, number {i}\nabout topic{label}"
                    writer.writerow((text, f"intent_{label}"))


def _clinc150(root: Path) -> None:
    data = {
        f"{prefix}{split}": [
            [f"please {split} number {i} of kind{label}", f"{prefix}intent_{label}"]
            for i in range(each)
            for label in range(22)
        ]
        for prefix in ("", "oos_")
        for split, each in (("train", 40), ("val", 8), ("test", 8))
    }
    (root / "data_full.json").write_text(json.dumps(data))


def _csabstruct(root: Path) -> None:
    roles = ("background", "objective", "method", "result", "other")
    for split, count in (("train", 60), ("dev", 30), ("test", 30)):
        lines = [
            json.dumps(
                {
                    "abstract_id": i,
                    "sentences": [f"This {split} text {i} is the {role} part." for role in roles],
                    "labels": roles,
                    "confs": [1.0] * len(roles),
                }
            )
            for i in range(count)
        ]
        (root / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def _fairytaleqa(root: Path) -> None:
    for split in ("train", "val", "test"):
        for story in range(3):
            _story(root / "data-by-train-split", split, f"{split}-tale-{story}")


def _story(root: Path, split: str, name: str) -> None:
    sections = root / "section-stories" / split
    questions = root / "questions" / split
    sections.mkdir(parents=True, exist_ok=True)
    questions.mkdir(parents=True, exist_ok=True)
    with (sections / f"{name}-story.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("section", "text"))
        for s in range(1, 5):
            writer.writerow(
                (s, f"Once in {name} a king\nlost ring{s}. He wept.\n\nHe left room {s}.")
            )
    answers = [f"answer{i}" for i in range(1, 7)]
    with (questions / f"{name}-questions.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        head = ("question_id", "local-or-sum", "cor_section", "attribute1", "attribute2")
        writer.writerow((*head, "question", "ex-or-im1", *answers[:3], "ex-or-im2", *answers[3:]))
        for s in range(1, 5):
            for k, (question, gold) in enumerate(
                ((f"What did the king lose in {s}?", f"ring{s}"), (f"How felt he in {s}?", "sad"))
            ):
                row = (2 * s + k, "local", s, "action", "", question, "explicit")
                writer.writerow((*row, gold, "", "", "explicit", f"a {gold}", "", ""))
        summary = (99, "summary", "1, 3", "action", "", "What was lost first?", "explicit")
        writer.writerow((*summary, "ring1", "", "", "explicit", "", "", ""))


def _squality(root: Path) -> None:
    for split in ("train", "dev", "test"):
        lines = []
        for i in range(3):
            paragraphs = [f"{split} {i} part {p} begins.\nHero{p} goes on." for p in range(14)]
            record = {
                "metadata": {"passage_id": str(i), "uid": "u", "license": "…"},
                "document": "\n \n".join(paragraphs),
                "questions": [_squality_question(q, f"{split} {i}") for q in range(1, 6)],
            }
            lines.append(json.dumps(record))
        (root / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def _squality_question(number: int, story: str) -> dict[str, object]:
    texts = [f"Answer {worker} to {number} of {story}." for worker in range(4)]
    return {
        "question_text": f"Question {number} of the story?",
        "question_number": number,
        "responses": [
            {"worker_id": str(worker), "uid": "u", "response_text": text}
            for worker, text in enumerate(texts)
        ],
    }


_CLOZE = {"P175": "{} was performed by", "P27": "{} is a citizen of"}
_ASKED = {"P175": "Who performed {}?", "P27": "What is the country of citizenship of {}?"}


def _hop(subject: str, relation: str, value: str) -> dict[str, object]:
    return {
        "question": _ASKED[relation].format(subject),
        "cloze": _CLOZE[relation].format(subject),
        "answer": value,
        "answer_alias": [f"{value} proper", "ab"],
    }


def _mquake_case(number: int) -> dict[str, object]:
    song, old, new = f"Song{number}", f"Band{number}", f"Singer{number}"
    here, there = f"Country{number}", f"Land{number}"
    chains = {
        "": ((song, "P175", old), (old, "P27", here)),
        "new_": ((song, "P175", new), (new, "P27", there)),
    }
    triples: dict[str, object] = {}
    for prefix, chain in chains.items():
        triples[f"{prefix}triples"] = [["Q1", relation, "Q2"] for _, relation, _ in chain]
        triples[f"{prefix}triples_labeled"] = [[s, "name", v] for s, _, v in chain]
    return {
        "case_id": number,
        "requested_rewrite": [
            {
                "prompt": _CLOZE["P175"],
                "relation_id": "P175",
                "target_new": {"str": new, "id": "Q3"},
                "target_true": {"str": old, "id": "Q4"},
                "subject": song,
                "question": _ASKED["P175"].format(song),
            }
        ],
        "questions": [f"What is the citizenship of the performer of {song}? ({w})" for w in "abc"],
        "answer": here,
        "answer_alias": [],
        "new_answer": there,
        "new_answer_alias": [f"{there} proper"],
        "single_hops": [_hop(*hop) for hop in chains[""]],
        "new_single_hops": [_hop(*hop) for hop in chains["new_"]],
        "orig": triples,
    }


def _mquake(root: Path) -> None:
    cases = [_mquake_case(number) for number in range(60)]
    (root / "MQuAKE-hard.json").write_text(json.dumps(cases))
    clozes = {"P19": "[X] was born in the city of __", "P27": "[X] is a citizen of __"}
    asked = {"P19": "Which city was [X] born in?", "P27": _ASKED["P27"].replace("{}", "[X]")}
    (root / "cloze_templates.json").write_text(json.dumps(clozes))
    (root / "question_templates.json").write_text(json.dumps(asked))


def _pararel_trex(root: Path) -> None:
    folder = root / "trex_lms_vocab"
    folder.mkdir()
    pairs = {
        "P19": [(f"Person {i}", f"City {i}") for i in range(300)],
        "P47": [(f"Region {i}", f"Region {i + 1}") for i in range(300)],
        # One pair contradicts itself, one collides with a fact of a case.
        "P27": [("Twice", "Here"), ("Twice", "There"), ("Singer1", "Nowhere")],
        "P9999": [("No", "Template")],
    }
    for relation, entries in pairs.items():
        lines = [json.dumps({"sub_label": s, "obj_label": o, "uuid": "u"}) for s, o in entries]
        (folder / f"{relation}.jsonl").write_text("\n".join(lines) + "\n")


def _pubmed_rct(root: Path) -> None:
    sections = ("BACKGROUND", "OBJECTIVE", "METHODS", "RESULTS", "CONCLUSIONS")
    for split, count in (("train", 60), ("dev", 30), ("test", 30)):
        blocks = [
            "\n".join(
                [f"###{i}", *(f"{one}\tIn {split} text {i} the {one} part ." for one in sections)]
            )
            for i in range(count)
        ]
        (root / f"{split}.txt").write_text("\n\n".join(blocks) + "\n\n")


def _nlu(root: Path) -> None:
    head = (
        "userid;answerid;scenario;intent;status;answer_annotation;notes;suggested_entities;"
        "answer_normalised;answer;question"
    )
    rows = [
        f'{i};{i};home{k};do{k};;please [x : thing {i}];;;n;"please do thing {k}, number {i}";ask'
        for i in range(60)
        for k in range(22)
    ]
    (root / "NLU-Data-Home-Domain-Annotated-All.csv").write_text("\n".join([head, *rows]) + "\n")


def _trec(root: Path) -> None:
    for file, each in (("train_5500.label", 30), ("TREC_10.label", 12)):
        lines = [
            f"KIND{'ABCDEF'[k % 6]}:fine{k} What {file[:5]} is number {i} of caf\xe9 {k} ?"
            for i in range(each)
            for k in range(24)
        ]
        (root / file).write_bytes(("\n".join(lines) + "\n").encode("latin-1"))


def _musique(root: Path) -> None:
    for file, count in (("train", 12), ("dev", 30)):
        lines = [json.dumps(_musique_record(f"{file}{i}")) for i in range(count)]
        unanswerable = {**_musique_record(f"{file}none"), "answerable": False}
        lines.append(json.dumps(unanswerable))
        (root / f"musique_full_v1.0_{file}.jsonl").write_text("\n".join(lines) + "\n")


def _musique_record(name: str) -> dict[str, object]:
    paragraphs = [
        {
            "idx": p,
            "title": "Same title" if p < 2 else f"Title {name} {p}",
            "paragraph_text": f"Thing {name} {p} is old. It was made by maker{name}x{p}.",
            "is_supporting": p in (1, 7),
        }
        for p in range(20)
    ]
    return {
        "id": f"2hop__{name}",
        "paragraphs": paragraphs,
        "question": f"Who made both things of {name}?",
        "question_decomposition": [],
        "answer": f"maker{name}x7",
        "answer_aliases": [f"the maker {name}"],
        "answerable": True,
    }


def _qmsum(root: Path) -> None:
    for split in ("train", "val", "test"):
        lines = []
        for m in range(3):
            turns = [
                {"speaker": f"Speaker {t % 3}", "content": f"In {split} {m} I say word{t}. Fine ."}
                for t in range(24)
            ]
            specific = {
                "query": f"What was said about {split} {m}?",
                "answer": f"That word3 and word4 of {m} matter.",
                "relevant_text_span": [["3", "4"], ["20", "20 "]],
            }
            record = {
                "topic_list": [{"topic": "words", "relevant_text_span": [["0", "3"]]}],
                "general_query_list": [
                    {"query": f"Summarize meeting {m} of {split}.", "answer": f"Words of {m}."}
                ],
                "specific_query_list": [specific],
                "meeting_transcripts": turns,
            }
            lines.append(json.dumps(record))
        (root / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def _longmemeval(root: Path) -> None:
    records = []
    for i in range(60):
        turns = [
            {
                "role": "user",
                "content": f"I bought thing{i} in town. What now?",
                "has_answer": True,
            },
            {"role": "assistant", "content": f"You could use thing{i} at home."},
        ]
        filler = [{"role": "user", "content": f"Tell me a story {i}."}]
        records.append(
            {
                "question_id": f"q{i}" + ("_abs" if i % 10 == 0 else ""),
                "question_type": "single-session-user" if i % 2 else "multi-session",
                "question": f"What did I buy for {i}?",
                "answer": i if i % 7 == 0 else f"thing{i}",
                "question_date": "2023/06/01 (Thu) 10:00",
                "haystack_dates": [f"2023/05/{1 + i % 28:02} (Mon) 1{i % 10}:00", "2023/05/30"],
                "haystack_session_ids": [f"answer_{i}", f"filler_{i}"],
                "haystack_sessions": [turns, filler],
                "answer_session_ids": [f"answer_{i}"],
            }
        )
    (root / "longmemeval_oracle.json").write_text(json.dumps(records))


def _perltqa(root: Path) -> None:
    memories, asked = {}, []
    for p in range(40):
        name = f"Person {p}"
        events = {
            f"{p}_{e}": {
                "content": f"{name} found ring{e}x{k}."
                + "".join(f" {name} saw bird{e}x{k}." for k in range(8)),
                "summary": f"Ring {e}",
                "Characters": [],
                "Creation Time": "May 12, 2022",
                "Theme": "rings",
            }
            for e in range(8)
            for k in (e,)
        }
        dialogues = {
            f"{p}_{e}#{e}": {
                "events": f"{p}_{e}",
                "contents": {"2022-05-12 10:00": [f"{name}: I like bird{e}x0.", "Li: Me too."]},
            }
            for e in range(8)
        }
        memories[name] = {
            "profile": {"Gender": "female"},
            "profile_description": "…",
            "social_relationship": {},
            "events": events,
            "dialogues": dialogues,
        }
        questions = [
            {
                f"{p}_{e}": [
                    _perltqa_question(f"Which ring did {name} find in {e}? ({k})", p, e, k)
                    for k in range(4)
                ]
            }
            for e in range(8)
        ]
        asked.append({name: {"profile": [], "social_relationship": [], "events": questions}})
    (root / "perltmem_en_v2.json").write_text(json.dumps(memories))
    (root / "perltqa_en_v2.json").write_text(json.dumps(asked))


def _perltqa_question(question: str, person: int, event: int, number: int) -> dict[str, object]:
    anchors = [f"ring{event}x{event}", f"Bird{event}x{event}"]
    if number == 3:
        anchors.append("not in the memory")
    return {
        "Question": question,
        "Answer": "A long sentence.",
        "Reference Memory": f"['{person}_{event}']",
        "Memory Anchors": [{anchor: [-1, -1]} for anchor in anchors],
    }


def _redial(root: Path) -> None:
    for file, count in (("train_data.jsonl", 200), ("test_data.jsonl", 40)):
        lines = [json.dumps(_redial_talk(f"{file[:5]}{i}", i)) for i in range(count)]
        (root / file).write_text("\n".join(lines) + "\n")


def _redial_talk(name: str, i: int) -> dict[str, object]:
    films = {"1": "Heat (1995)", str(100 + i): f"Film Number {i} (1999)", "9": None}
    texts = [f"Hi, {name} here, I liked @1", "Sure", f"Then try @{100 + i} !", "Thanks @9"]
    return {
        "conversationId": name,
        "initiatorWorkerId": 0,
        "respondentWorkerId": 1,
        "movieMentions": films,
        "messages": [
            {
                "messageId": k,
                "senderWorkerId": k % 2 if k < 2 else 3 - k,
                "timeOffset": k,
                "text": t,
            }
            for k, t in enumerate(texts)
        ],
        "respondentQuestions": [],
        "initiatorQuestions": {},
    }


def _booksum(root: Path) -> None:
    for split in ("train", "val", "test"):
        lines = []
        for c in range(3):
            text = " ".join(
                f"Then {split} Mara walked to gate{c}x{s} in the fog." for s in range(120)
            )
            record: dict[str, object] = {"book": f"Book {split}", "chapter": f"chapter {c}"}
            record["text"] = text
            if c:
                record["summary"] = f"In chapter {c} the woman Mara walked to gate{c}x3 alone."
            else:
                record["keywords"] = ["Mara", f"gate{c}x5", split]
            lines.append(json.dumps(record))
        (root / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


WRITERS: dict[str, Callable[[Path], None]] = {
    "squad": _squad,
    "hotpotqa": _hotpotqa,
    "banking77": _banking77,
    "clinc150": _clinc150,
    "csabstruct": _csabstruct,
    "fairytaleqa": _fairytaleqa,
    "squality": _squality,
    "mquake": _mquake,
    "pararel_trex": _pararel_trex,
    "pubmed_rct": _pubmed_rct,
    "nlu": _nlu,
    "trec": _trec,
    "musique": _musique,
    "qmsum": _qmsum,
    "longmemeval": _longmemeval,
    "perltqa": _perltqa,
    "redial": _redial,
    "booksum": _booksum,
}


def write_all(data_dir: Path) -> Path:
    """Every data set below `data_dir`, which is returned."""
    for folder, write in WRITERS.items():
        (data_dir / folder).mkdir(parents=True)
        write(data_dir / folder)
    return data_dir
