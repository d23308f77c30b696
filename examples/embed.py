#!/usr/bin/python3
"""A Python program that pushes frames of its own through bgremove and takes the results back.

    GST_PLUGIN_PATH=target/release /usr/bin/python3 examples/embed.py picture.png

Debian: python3-gst-1.0. It stands for an application whose frames come from somewhere else: a picture, 30 times a
second, a little further to the left each time. After 20 frames the background changes, after 40 the model; it ends when
the new model has served for a while. embed.rs and embed.c do the same.
"""

import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp  # noqa: E402,F401 (GstApp gives appsrc and appsink their methods)

WIDTH, HEIGHT = 640, 360
MOST = 1000  # frames within which the other model has to come


def messages(pipeline, wait=0):
    """What the elements say. Warnings leave the stream running; an error is its end."""
    bus = pipeline.get_bus()
    while message := bus.timed_pop(wait):
        if message.type == Gst.MessageType.ERROR:
            sys.exit(f"error: {message.parse_error()[0].message}")
        if message.type == Gst.MessageType.WARNING:
            print(f"warning: {message.parse_warning()[0].message}", file=sys.stderr)


def load(path):
    """A picture as RGBA of WIDTH×HEIGHT."""
    pipeline = Gst.parse_launch(
        "filesrc name=file ! decodebin ! videoconvert ! videoscale ! "
        f"video/x-raw,format=RGBA,width={WIDTH},height={HEIGHT},pixel-aspect-ratio=1/1 ! appsink name=out sync=false"
    )
    pipeline.get_by_name("file").set_property("location", path)
    pipeline.set_state(Gst.State.PAUSED)
    # Either the first frame is there, or an error.
    good = pipeline.get_state(Gst.CLOCK_TIME_NONE)[0] == Gst.StateChangeReturn.SUCCESS
    sample = pipeline.get_by_name("out").pull_preroll() if good else None
    try:
        # What has failed says why, if not in the same moment.
        messages(pipeline, 0 if good else Gst.SECOND)
    finally:
        pipeline.set_state(Gst.State.NULL)
    if sample is None:
        sys.exit("error: no picture")
    buffer = sample.get_buffer()
    return buffer.extract_dup(0, buffer.get_size())


def shifted(picture, by):
    row = 4 * WIDTH
    rows = (picture[y * row : (y + 1) * row] for y in range(HEIGHT))
    return b"".join(r[4 * by :] + r[: 4 * by] for r in rows)


def run(pipeline, picture):
    source, sink = pipeline.get_by_name("in"), pipeline.get_by_name("out")
    bgremove = pipeline.get_by_name("bg")
    source.set_caps(
        Gst.Caps.from_string(f"video/x-raw,format=RGBA,width={WIDTH},height={HEIGHT},framerate=30/1")
    )
    if pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
        messages(pipeline)
        sys.exit("error: the pipeline does not start")

    # The first network is known by its size, from the first frame on.
    network, left = 0, None
    for n in range(MOST):
        if n == 20:
            bgremove.set_property("background", "#ff0000")
        elif n == 40:
            # It loads beside the running one, which serves until then.
            bgremove.set_property("model", "original")
        frame = Gst.Buffer.new_wrapped(shifted(picture, n % 40))
        frame.pts = n * Gst.SECOND // 30
        frame.duration = Gst.SECOND // 30
        source.push_buffer(frame)
        # An error downstream ends the stream: what it was stands on the bus.
        sample = sink.pull_sample()
        messages(pipeline)
        if sample is None:
            sys.exit("error: the stream has ended")

        size = bgremove.get_property("stats").get_uint64("network-bytes").value
        if n == 0:
            network = size
        elif size != network and left is None:
            print("another network serves")
            left = 5
        if n in (19, 39) or left == 0:
            data = sample.get_buffer().extract_dup(0, sample.get_buffer().get_size())
            corner, middle = (list(data[4 * (y * WIDTH + x) :][:4]) for x, y in ((WIDTH - 10, 10), (270, 180)))
            print(f"corner {corner}, middle {middle}")
        if left == 0:
            source.end_of_stream()
            return
        if left is not None:
            left -= 1
        time.sleep(1 / 30)
    sys.exit("error: the other network did not come")


def main():
    if len(sys.argv) != 2:
        sys.exit("which picture?")
    Gst.init(None)
    if Gst.ElementFactory.find("bgremove") is None:
        sys.exit("error: there is no bgremove; set GST_PLUGIN_PATH to the folder of libgstbgremove.so")
    picture = load(sys.argv[1])
    pipeline = Gst.parse_launch(
        "appsrc name=in format=time ! bgremove name=bg ! video/x-raw,format=RGBA ! appsink name=out sync=false"
    )
    try:
        run(pipeline, picture)
    finally:
        # A pipeline has to be stopped before it goes.
        pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()
