"""`make digests` names each image by the manifest that its tag leads to, and finds moved tags."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.image_digests import FILES, ROOT, Registry, RegistryError, main, named_images
from sandbox.ports import free_port
from tests.support.compose.registry import Tags, registry

NAMED = named_images([(ROOT / name).read_text("utf-8") for name in FILES])


def repository(tagged: str) -> str:
    """As the registry knows the name."""
    return tagged if "/" in tagged else f"library/{tagged}"


@pytest.fixture
def tags() -> Iterator[Tags]:
    """A registry with every image that is named here."""
    with registry(
        {repository(one): json.dumps({"manifests": [one]}).encode() for one in NAMED}
    ) as found:
        yield found


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that name images."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def texts(clone: Path) -> list[str]:
    """What is in them."""
    return [(clone / name).read_text("utf-8") for name in FILES]


def run(clone: Path, tags: Tags, *words: str) -> None:
    """The program, asking that registry."""
    main(["--registry", tags.url, "--root", str(clone), *words])


def test_every_image_of_others_is_found() -> None:
    """In each file that names one, and no image of ours."""
    assert {one.partition(":")[0] for one in NAMED} == {
        *("python", "redis", "ollama/ollama", "prom/prometheus", "grafana/grafana")
    }
    files = [*ROOT.glob("*Dockerfile*"), *ROOT.glob("deploy/**/*Dockerfile"), *ROOT.glob("*.yml")]
    for file in [*files, *ROOT.glob("deploy/**/*.y*ml")]:
        images = re.findall(r"^(?:ARG \w+_IMAGE=| +image: )(\S.*)$", file.read_text(), re.MULTILINE)
        foreign = [one for one in images if "griot" not in one and one != "*ollama"]
        assert not foreign or str(file.relative_to(ROOT)) in FILES


def test_each_tag_gets_the_digest_of_its_manifest(tags: Tags, clone: Path) -> None:
    """Behind the tag, which stays; nothing else changes."""
    before = texts(clone)
    run(clone, tags)
    assert named_images(texts(clone)) == {one: tags.digest(repository(one)) for one in NAMED}
    plain = re.compile("@sha256:[0-9a-f]{64}")
    assert [plain.sub("", text) for text in texts(clone)] == [plain.sub("", one) for one in before]
    assert set(tags.scopes) == {
        f"repository:{repository(o).rpartition(':')[0]}:pull" for o in NAMED
    }


def test_a_tag_that_has_moved_is_found_and_renewed(
    tags: Tags, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` changes nothing and ends with 1; a run without it writes the new one."""
    run(clone, tags)
    moved = next(one for one in NAMED if one.startswith("redis:"))
    tags.manifests[repository(moved)] = b'{"manifests": ["another"]}'
    before = texts(clone)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(clone, tags, "--check")
    assert ended.value.code == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{moved} has moved from sha256:")
    assert texts(clone) == before
    run(clone, tags)
    assert named_images(texts(clone))[moved] == tags.digest(repository(moved))
    with pytest.raises(SystemExit) as ended:
        run(clone, tags, "--check")
    assert ended.value.code == 0


def test_a_tag_that_is_gone_changes_nothing(tags: Tags, clone: Path) -> None:
    """All of them are renewed, or none."""
    gone = next(one for one in NAMED if one.startswith("python:"))
    del tags.manifests[repository(gone)]
    before = texts(clone)
    with pytest.raises(SystemExit, match=f"digests: {gone}: the registry has no such tag; nothing"):
        run(clone, tags)
    assert texts(clone) == before


def test_bytes_that_are_not_what_they_are_called_are_refused(tags: Tags, clone: Path) -> None:
    """The digest is counted here, of what came."""
    tags.is_lying = True
    with pytest.raises(SystemExit, match="is not what the registry says it is"):
        run(clone, tags)


def test_a_registry_that_does_not_answer_is_said(clone: Path) -> None:
    """In one line."""
    with pytest.raises(SystemExit, match="the registry does not answer"):
        main(["--registry", f"http://127.0.0.1:{free_port()}", "--root", str(clone)])


def test_a_token_is_asked_for_over_https_only() -> None:
    """A registry that is reached over https sends nobody to an open address."""
    with Registry("https://registry.invalid") as asked, pytest.raises(RegistryError, match="https"):
        asked._token('Bearer realm="http://127.0.0.1:1/token",service="x",scope="y"')
