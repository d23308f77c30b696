"""One peer on one clip: `loop.py PEER CLIP FRAMES [MODEL]`; prints what it took as JSON.

PEER is rembg (u2netp, RGBA out), mediapipe (the mask alone), mediapipe-colour (on a colour, as MediaPipe's own
example composites), or rvm (MODEL is an export in the authors' layout; foreground times alpha is left to others).
The loop reads with OpenCV, as their examples do. Loading and the first frame are not counted.
"""
import json
import resource
import sys
import time

import cv2
import numpy as np


def rembg(_):
    from rembg import new_session, remove

    session = new_session("u2netp", providers=["CPUExecutionProvider"])
    return lambda frame: remove(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), session=session)


def mediapipe(_):
    import mediapipe as mp

    net = mp.solutions.selfie_segmentation.SelfieSegmentation(model_selection=1)
    return lambda frame: net.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)).segmentation_mask


def mediapipe_colour(model):
    mask = mediapipe(model)
    colour = None

    def run(frame):
        nonlocal colour
        if colour is None:
            colour = np.zeros_like(frame)
            colour[:] = (64, 177, 0)
        return np.where(np.stack((mask(frame),) * 3, axis=-1) > 0.1, frame, colour)

    return run


def rvm(model):
    import onnxruntime as ort

    net = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    state = [np.zeros((1, 1, 1, 1), np.float32)] * 4

    def run(frame):
        nonlocal state
        src = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.float32).transpose(2, 0, 1)[None] / 255
        # The authors' advice: the short side of what the network sees at 256 to 512 pixels.
        ratio = np.array([270 / min(frame.shape[:2])], np.float32)
        inputs = {"src": src, "downsample_ratio": ratio, **{f"r{k + 1}i": s for k, s in enumerate(state)}}
        fgr, pha, *state = net.run(None, inputs)
        return fgr, pha

    return run


def main():
    name, clip, frames = sys.argv[1], sys.argv[2], int(sys.argv[3])
    make = {"rembg": rembg, "mediapipe": mediapipe, "mediapipe-colour": mediapipe_colour, "rvm": rvm}[name]
    run = make(sys.argv[4] if len(sys.argv) > 4 else None)
    capture = cv2.VideoCapture(clip)
    ok, frame = capture.read()
    if not ok:
        sys.exit(f"{clip} cannot be read")
    run(frame)
    capture.release()
    capture = cv2.VideoCapture(clip)
    cpu = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    before, start, done = cpu(), time.perf_counter(), 0
    while done < frames:
        ok, frame = capture.read()
        if not ok:
            break
        run(frame)
        done += 1
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"frames": done, "seconds": seconds, "cpu": cpu() - before, "peak_mib": peak}))


main()
