#!/usr/bin/python3
"""A timeline of GStreamer Editing Services in which bgremove is an effect, rendered to a WebM file.

    GST_PLUGIN_PATH=target/release /usr/bin/python3 examples/timeline.py person.mp4 behind.mp4 out.webm

Debian: python3-gst-1.0, gir1.2-ges-1.0. In the first half the person stands before what lies in the layer below, a clip
or a picture; in the second half before a colour that changes from green to blue. Towards the end the edges go soft.
Editors that are built on GES, such as Pitivi, do the same with their mouse.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstController", "1.0")
gi.require_version("GstPbutils", "1.0")
gi.require_version("GES", "1.0")
from gi.repository import GES, GLib, Gst, GstController, GstPbutils  # noqa: E402

CAPS = "video/x-raw,width=640,height=360,framerate=30/1"
GREEN, BLUE = 0xFF00B140, 0xFF0040D0


def asset(path):
    try:
        return GES.UriClipAsset.request_sync(Gst.filename_to_uri(path))
    except GLib.Error as e:
        sys.exit(f"error: {path}: {e.message}")


def keyframes(source, *points):
    """Values at times; between two of them it goes from one to the other."""
    source.set_property("mode", GstController.InterpolationMode.LINEAR)
    for time, value in points:
        source.set(time, value)
    return source


def build(person, behind):
    timeline = GES.Timeline.new()
    video = GES.VideoTrack.new()
    video.set_restriction_caps(Gst.Caps.from_string(CAPS))
    timeline.add_track(video)
    if person.get_supported_formats() & GES.TrackType.AUDIO:
        timeline.add_track(GES.AudioTrack.new())
    # The first layer is the uppermost.
    above, below = timeline.append_layer(), timeline.append_layer()

    whole = person.get_duration()
    half = whole // 2
    parts = [
        above.add_asset(person, begin, begin, length, GES.TrackType.UNKNOWN)
        for begin, length in ((0, half), (half, whole - half))
    ]
    # A picture lasts as long as one likes; a clip that is too short is followed by black.
    length = half if behind.is_image() else min(half, behind.get_duration())
    below.add_asset(behind, 0, 0, length, GES.TrackType.VIDEO)

    first, second = (GES.Effect.new("bgremove") for _ in parts)
    for part, effect in zip(parts, (first, second)):
        if not part.add(effect):
            sys.exit("error: the clip takes no effect")
    # The properties of the element are child properties of the effect.
    first.set_child_property("background", "transparent")
    second.set_child_property("background", "color")

    # An effect's key frames count from where its clip begins in the timeline.
    end = whole - half
    softness = keyframes(GstController.InterpolationControlSource.new(), (0, 0.0), (end, 24.0))
    second.set_control_source(softness, "edge-softness", "direct-absolute")
    # A colour is a number for each of its parts, which GES has no word for: the binding goes to the element itself.
    found, element, _ = GES.TimelineElement.lookup_child(second, "background-color")
    if not found:
        sys.exit("error: this bgremove has no property background-color")
    green, blue = ([(color >> shift & 255) / 255 for shift in (24, 16, 8, 0)] for color in (GREEN, BLUE))
    channels = [
        keyframes(GstController.InterpolationControlSource.new(), (0, a), (end, b)) for a, b in zip(green, blue)
    ]
    element.add_control_binding(GstController.ARGBControlBinding.new(element, "background-color", *channels))

    timeline.commit_sync()
    return timeline


def render(timeline, path):
    profile = GstPbutils.EncodingContainerProfile.new("webm", None, Gst.Caps.from_string("video/webm"), None)
    profile.add_profile(GstPbutils.EncodingVideoProfile.new(Gst.Caps.from_string("video/x-vp8"), None, None, 0))
    if any(track.get_property("track-type") == GES.TrackType.AUDIO for track in timeline.get_tracks()):
        profile.add_profile(GstPbutils.EncodingAudioProfile.new(Gst.Caps.from_string("audio/x-opus"), None, None, 0))
    pipeline = GES.Pipeline.new()
    pipeline.set_timeline(timeline)
    if not pipeline.set_render_settings(Gst.filename_to_uri(path), profile):
        sys.exit("error: this machine cannot make WebM")
    pipeline.set_mode(GES.PipelineFlags.RENDER)
    try:
        if pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
            sys.exit("error: the pipeline does not start")
        message = pipeline.get_bus().timed_pop_filtered(
            Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR
        )
        if message.type == Gst.MessageType.ERROR:
            sys.exit(f"error: {message.parse_error()[0].message}")
    finally:
        # A pipeline has to be stopped before it goes.
        pipeline.set_state(Gst.State.NULL)


def main():
    if len(sys.argv) != 4:
        sys.exit("which clip of a person, what behind it, and which WebM file is to be made?")
    Gst.init(None)
    GES.init()
    if Gst.ElementFactory.find("bgremove") is None:
        sys.exit("error: there is no bgremove; set GST_PLUGIN_PATH to the folder of libgstbgremove.so")
    person, behind = (asset(path) for path in sys.argv[1:3])
    render(build(person, behind), sys.argv[3])


if __name__ == "__main__":
    main()
