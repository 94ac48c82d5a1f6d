from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from armopt.compress.backend import keras, tf
from armopt.compress.models import as_source, copy_model, fingerprint, fixed_batch, load_model, predict
from armopt.core.errors import ModelError, UsageError

layers = keras.layers
X = tiny_models.samples((12,), 8)


def _refused(what: Path | str, words: str, kind: type[UsageError] = ModelError, **options: Any) -> UsageError:
    with pytest.raises(kind, match=words) as caught:
        load_model(str(what), **options)
    assert "\n" not in str(caught.value) and caught.value.mend
    return caught.value


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "folder"])
def test_a_keras_2_model_loads_from_every_format_with_its_task(tmp_path: Path, name: str) -> None:
    model = tiny_models.dense()
    model.compile("adam", "mse", ["mae"])
    model.fit(X, np.zeros((8, 3)), verbose=0)
    model.save(tmp_path / name, **({"save_format": "tf"} if name == "folder" else {}))
    source = load_model(str(tmp_path / name))
    assert np.array_equal(source.model.predict(X, verbose=0), model.predict(X, verbose=0))
    assert source.name == name.split(".")[0] and source.notes == ()
    assert keras.losses.get(source.model.loss) is keras.losses.mean_squared_error


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_keras_3_model_is_bridged_and_said(tmp_path: Path, name: str) -> None:
    import keras as keras3

    model = keras3.Sequential([keras3.layers.Input((12,)), keras3.layers.Dense(3)])
    model.save(tmp_path / name)
    source = load_model(str(tmp_path / name))
    assert isinstance(source.model, keras.Model) and "Keras 3" in source.notes[0]
    np.testing.assert_allclose(source.model.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-5)


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    _refused(tmp_path / "absent.keras", "not found")
    (tmp_path / "text.keras").write_text("hello")
    _refused(tmp_path / "text.keras", "damaged or of an unknown format")
    (tmp_path / "empty.h5").write_bytes(b"")
    _refused(tmp_path / "empty.h5", "damaged or of an unknown format")
    _refused(tmp_path, "is not a SavedModel")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "no model")
    _refused(tmp_path / "other.zip", "damaged or not a .keras file")


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    tiny_models.conv2d().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    _refused(path, "damaged|can't be loaded")


@pytest.mark.parametrize("part", ["config.json", "model.weights.h5", "metadata.json"])
def test_a_keras_file_with_a_part_missing_or_garbled_is_refused(tmp_path: Path, part: str) -> None:
    path, broken = tmp_path / "model.keras", tmp_path / "broken.keras"
    tiny_models.dense().save(path)
    for replacement in (None, b"{garbage"):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(broken, "w") as new:
            for name in old.namelist():
                if name != part:
                    new.writestr(name, old.read(name))
                elif replacement is not None:
                    new.writestr(name, replacement)
        _refused(broken, "damaged|can't be loaded")


def test_weights_without_their_model_are_refused(tmp_path: Path) -> None:
    tiny_models.dense().save_weights(tmp_path / "only.weights.h5")
    _refused(tmp_path / "only.weights.h5", "holds weights without their model; save the whole model")


def test_a_saved_model_that_is_not_from_keras_is_refused(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "graph"))
    _refused(tmp_path / "graph", "without its Keras layers|can't be loaded")


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "folder"])
def test_a_lambda_layer_runs_only_on_the_users_word(tmp_path: Path, name: str) -> None:
    inputs = layers.Input((12,))
    model = keras.Model(inputs, layers.Dense(3)(layers.Lambda(lambda x: x * 2)(inputs)))
    model.save(tmp_path / name, **({"save_format": "tf"} if name == "folder" else {}))
    assert "--trust-model" in _refused(tmp_path / name, "has code embedded in it").mend
    trusted = load_model(str(tmp_path / name), trust_model=True)
    assert np.array_equal(trusted.model.predict(X, verbose=0), model.predict(X, verbose=0))


def test_a_lambda_layer_of_keras_3_is_refused_too(tmp_path: Path) -> None:
    import keras as keras3

    model = keras3.Sequential([keras3.layers.Input((12,)), keras3.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "model.keras")
    _refused(tmp_path / "model.keras", "has code embedded in it")


OWN_LAYER = """
from armopt.compress.backend import keras

class Doubling(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def own_loss(truth, guess):
    return (truth - guess) ** 2
"""


@pytest.fixture
def own_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "own_layers_of_test.py").write_text(OWN_LAYER)
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_layers_of_test  # type: ignore[import-not-found]

    return own_layers_of_test


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_custom_layer_needs_its_module(tmp_path: Path, own_layers: Any, name: str) -> None:
    model = keras.Sequential([layers.Input((12,)), layers.Dense(3), own_layers.Doubling()])
    model.save(tmp_path / name)
    found = load_model(str(tmp_path / name), custom_objects="own_layers_of_test")
    assert np.array_equal(found.model.predict(X, verbose=0), model.predict(X, verbose=0))
    if name.endswith("h5"):  # a .keras file names the layer's module itself
        assert "--custom-objects" in _refused(tmp_path / name, "Doubling").mend


def test_a_custom_layer_whose_module_is_gone_is_named(tmp_path: Path, own_layers: Any, monkeypatch: Any) -> None:
    import sys

    keras.Sequential([layers.Input((12,)), own_layers.Doubling()]).save(tmp_path / "model.keras")
    monkeypatch.delitem(sys.modules, "own_layers_of_test")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    assert "--custom-objects" in _refused(tmp_path / "model.keras", "Doubling").mend


def test_a_loss_that_is_not_here_does_not_keep_the_model_from_loading(tmp_path: Path, own_layers: Any) -> None:
    model = tiny_models.dense()
    model.compile("adam", own_layers.own_loss)
    model.save(tmp_path / "model.h5")
    assert np.array_equal(
        load_model(str(tmp_path / "model.h5")).model.predict(X, verbose=0), model.predict(X, verbose=0)
    )


def test_a_custom_objects_module_that_can_not_be_imported_is_refused(tmp_path: Path) -> None:
    tiny_models.dense().save(tmp_path / "model.keras")
    _refused(tmp_path / "model.keras", "--custom-objects no_such_module", UsageError, custom_objects="no_such_module")


def test_a_model_without_input_shape_is_refused() -> None:
    with pytest.raises(ModelError, match="no known input shape; build it"):
        as_source(keras.Sequential([layers.Dense(3)]))


@pytest.mark.parametrize("thing", [7, "model.keras", layers.Dense(3)])
def test_what_is_no_model_is_refused(thing: Any) -> None:
    with pytest.raises(ModelError, match="is not a Keras model"):
        as_source(thing)


@pytest.mark.parametrize("name", list(tiny_models.BUILDERS))
def test_a_copy_says_the_same_and_shares_nothing(name: str) -> None:
    model = tiny_models.BUILDERS[name]()
    x = tiny_models.samples(tuple(model.inputs[0].shape[1:]), 4)
    before = [weight.copy() for weight in model.get_weights()]
    copy = copy_model(model)
    assert np.array_equal(predict(copy, (x,))[0], predict(model, (x,))[0])
    assert fingerprint(copy) == fingerprint(model)
    copy.set_weights([weight + 1 for weight in before])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    assert fingerprint(copy) != fingerprint(model)


def test_a_layer_without_its_configuration_can_not_be_copied_and_is_told() -> None:
    class Forgetful(layers.Layer):
        def __init__(self, scale: Any) -> None:
            super().__init__()
            self.scale = scale

        def call(self, x: Any) -> Any:
            return self.scale(x)

    model = keras.Sequential([layers.Input((12,)), Forgetful(abs)])
    with pytest.raises(ModelError, match=r"can't be copied.*get_config") as caught:
        copy_model(model)
    assert "\n" not in str(caught.value)


def test_the_fingerprint_does_not_depend_on_the_file(tmp_path: Path) -> None:
    model = tiny_models.dense()
    prints = set()
    for name in ("a.keras", "b.h5"):
        model.save(tmp_path / name)
        prints.add(load_model(str(tmp_path / name)).fingerprint())
    assert prints == {fingerprint(model)}


def test_a_fixed_batch_is_filled_up_and_cut_again() -> None:
    model = keras.Sequential([layers.Input(batch_shape=(4, 12)), layers.Dense(3)])
    assert fixed_batch(model) == 4 and fixed_batch(tiny_models.dense()) is None
    x = tiny_models.samples((12,), 10)
    (guess,) = predict(model, (x,))
    np.testing.assert_allclose(guess, x @ model.get_weights()[0] + model.get_weights()[1], atol=1e-5)


def test_several_outputs_are_predicted_in_the_models_order() -> None:
    inputs = layers.Input((12,))
    model = keras.Model(inputs, [layers.Dense(3, name="z")(inputs), layers.Dense(1, name="a")(inputs)])
    assert [part.shape for part in predict(model, (X,), batch_size=3)] == [(8, 3), (8, 1)]


class Unregistered(keras.layers.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs * 2


def test_custom_layers_of_inner_models_are_copied_though_nobody_registered_them() -> None:
    given = keras.layers.Input((6,))
    inner = keras.Model(given, Unregistered()(keras.layers.Dense(4)(given)), name="inner")
    inputs = keras.layers.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inner(inputs)))
    copy = copy_model(model)
    x = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    assert np.array_equal(copy(x), model(x))
    copy.get_layer("inner").set_weights([weight * 2 for weight in inner.get_weights()])
    assert not np.array_equal(copy(x), model(x))


def test_a_state_from_call_to_call_is_refused_before_anything_is_trained() -> None:
    inputs = keras.layers.Input(batch_shape=(1, 4, 3))
    model = keras.Model(inputs, keras.layers.Bidirectional(keras.layers.GRU(2, stateful=True, name="gru"))(inputs))
    with pytest.raises(ModelError, match=r"keeps a state from call to call in forward_gru, backward_gru; make them"):
        as_source(model)


def test_outputs_of_a_dictionary_come_in_the_order_of_the_model() -> None:
    entry = keras.Input((4,))
    two, three = keras.layers.Dense(2, name="two")(entry), keras.layers.Dense(3, name="three")(entry)
    model = keras.Model(entry, {"z": two, "a": three})
    widths = [array.shape[-1] for array in predict(model, (np.zeros((5, 4), np.float32),))]
    assert widths == [tensor.shape[-1] for tensor in model.outputs] == [3, 2]
