/* A C program that pushes frames of its own through bgremove and takes the results back.
 *
 *     cc -o embed examples/embed.c $(pkg-config --cflags --libs gstreamer-app-1.0 gstreamer-video-1.0)
 *     GST_PLUGIN_PATH=target/release ./embed picture.png
 *
 * It stands for an application whose frames come from somewhere else: a picture, 30 times a second, a little further
 * to the left each time. After 20 frames the background changes, after 40 the model; it ends when the new model has
 * served for a while. embed.rs and embed.py do the same.
 */
#include <gst/app/app.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <stdio.h>

#define WIDTH 640
#define HEIGHT 360
#define ROW (4 * WIDTH)
#define MOST 1000 /* frames within which the other model has to come */

/* What the elements say. Warnings leave the stream running; an error is its end. */
static gboolean messages(GstElement *pipeline)
{
    GstBus *bus = gst_element_get_bus(pipeline);
    GstMessage *message;
    gboolean good = TRUE;

    while (good && (message = gst_bus_pop(bus))) {
        GError *error = NULL;

        if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
            gst_message_parse_error(message, &error, NULL);
            fprintf(stderr, "error: %s\n", error->message);
            good = FALSE;
        } else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING) {
            gst_message_parse_warning(message, &error, NULL);
            fprintf(stderr, "warning: %s\n", error->message);
        }
        g_clear_error(&error);
        gst_message_unref(message);
    }
    gst_object_unref(bus);
    return good;
}

/* A picture as RGBA of WIDTH×HEIGHT, to be freed with g_free; NULL if it cannot be had. */
static guint8 *load(const char *path)
{
    GstElement *pipeline =
        gst_parse_launch("filesrc name=file ! decodebin ! videoconvert ! videoscale ! "
                         "video/x-raw,format=RGBA,width=" G_STRINGIFY(WIDTH) ",height=" G_STRINGIFY(HEIGHT)
                         ",pixel-aspect-ratio=1/1 ! appsink name=out sync=false", NULL);
    GstElement *file = gst_bin_get_by_name(GST_BIN(pipeline), "file");
    GstElement *out = gst_bin_get_by_name(GST_BIN(pipeline), "out");
    guint8 *picture = NULL;

    g_object_set(file, "location", path, NULL);
    gst_element_set_state(pipeline, GST_STATE_PAUSED);
    /* Either the first frame is there, or an error. */
    GstSample *sample = NULL;
    if (gst_element_get_state(pipeline, NULL, NULL, GST_CLOCK_TIME_NONE) == GST_STATE_CHANGE_SUCCESS)
        sample = gst_app_sink_pull_preroll(GST_APP_SINK(out));
    if (messages(pipeline) && sample) {
        picture = g_malloc0(ROW * HEIGHT);
        gst_buffer_extract(gst_sample_get_buffer(sample), 0, picture, ROW * HEIGHT);
    }
    if (sample)
        gst_sample_unref(sample);
    /* A pipeline has to be stopped before it goes. */
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(file);
    gst_object_unref(out);
    gst_object_unref(pipeline);
    return picture;
}

static GstBuffer *shifted(const guint8 *picture, int by)
{
    GstBuffer *buffer = gst_buffer_new_allocate(NULL, ROW * HEIGHT, NULL);

    for (int y = 0; y < HEIGHT; y++) {
        gst_buffer_fill(buffer, y * ROW, picture + y * ROW + 4 * by, ROW - 4 * by);
        gst_buffer_fill(buffer, y * ROW + ROW - 4 * by, picture + y * ROW, 4 * by);
    }
    return buffer;
}

static void show(GstSample *sample)
{
    GstVideoInfo info;
    GstVideoFrame frame;

    gst_video_info_from_caps(&info, gst_sample_get_caps(sample));
    if (!gst_video_frame_map(&frame, &info, gst_sample_get_buffer(sample), GST_MAP_READ))
        return;
    const guint8 *data = GST_VIDEO_FRAME_PLANE_DATA(&frame, 0);
    const int stride = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0);
    const guint8 *c = data + 10 * stride + 4 * (WIDTH - 10), *m = data + 180 * stride + 4 * 270;
    printf("corner [%d, %d, %d, %d], middle [%d, %d, %d, %d]\n",
           c[0], c[1], c[2], c[3], m[0], m[1], m[2], m[3]);
    gst_video_frame_unmap(&frame);
}

static guint64 network_bytes(GstElement *bgremove)
{
    GstStructure *stats;
    guint64 bytes = 0;

    g_object_get(bgremove, "stats", &stats, NULL);
    gst_structure_get_uint64(stats, "network-bytes", &bytes);
    gst_structure_free(stats);
    return bytes;
}

static gboolean run(GstElement *pipeline, GstElement *in, GstElement *out, GstElement *bgremove,
                    const guint8 *picture)
{
    GstCaps *caps = gst_caps_from_string("video/x-raw,format=RGBA,framerate=30/1,width=" G_STRINGIFY(WIDTH)
                                         ",height=" G_STRINGIFY(HEIGHT));
    gst_app_src_set_caps(GST_APP_SRC(in), caps);
    gst_caps_unref(caps);
    if (gst_element_set_state(pipeline, GST_STATE_PLAYING) == GST_STATE_CHANGE_FAILURE) {
        messages(pipeline);
        return FALSE;
    }

    /* The first network is known by its size, from the first frame on. */
    guint64 network = 0;
    int left = -1;
    for (int n = 0; n < MOST; n++) {
        if (n == 20)
            g_object_set(bgremove, "background", "#ff0000", NULL);
        else if (n == 40)
            /* It loads beside the running one, which serves until then. */
            g_object_set(bgremove, "model", "original", NULL);
        GstBuffer *frame = shifted(picture, n % 40);
        GST_BUFFER_PTS(frame) = n * GST_SECOND / 30;
        GST_BUFFER_DURATION(frame) = GST_SECOND / 30;
        gst_app_src_push_buffer(GST_APP_SRC(in), frame);
        /* An error downstream ends the stream: what it was stands on the bus. */
        GstSample *sample = gst_app_sink_pull_sample(GST_APP_SINK(out));
        if (!messages(pipeline) || !sample) {
            if (sample)
                gst_sample_unref(sample);
            return FALSE;
        }

        guint64 bytes = network_bytes(bgremove);
        if (n == 0) {
            network = bytes;
        } else if (bytes != network && left < 0) {
            printf("another network serves\n");
            left = 5;
        }
        if (n == 19 || n == 39 || left == 0)
            show(sample);
        gst_sample_unref(sample);
        if (left == 0) {
            gst_app_src_end_of_stream(GST_APP_SRC(in));
            return TRUE;
        }
        if (left > 0)
            left--;
        g_usleep(G_USEC_PER_SEC / 30);
    }
    fprintf(stderr, "error: the other network did not come\n");
    return FALSE;
}

int main(int argc, char **argv)
{
    gst_init(&argc, &argv);
    if (argc != 2) {
        fprintf(stderr, "which picture?\n");
        return 1;
    }
    GError *error = NULL;
    GstElement *pipeline = gst_parse_launch(
        "appsrc name=in format=time ! bgremove name=bg ! video/x-raw,format=RGBA ! appsink name=out sync=false", &error);
    if (error) {
        fprintf(stderr, "error: %s (GST_PLUGIN_PATH is the folder of libgstbgremove.so)\n", error->message);
        return 1;
    }
    guint8 *picture = load(argv[1]);
    if (!picture)
        return 1;

    GstElement *in = gst_bin_get_by_name(GST_BIN(pipeline), "in");
    GstElement *out = gst_bin_get_by_name(GST_BIN(pipeline), "out");
    GstElement *bgremove = gst_bin_get_by_name(GST_BIN(pipeline), "bg");
    gboolean good = run(pipeline, in, out, bgremove, picture);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(in);
    gst_object_unref(out);
    gst_object_unref(bgremove);
    gst_object_unref(pipeline);
    g_free(picture);
    return good ? 0 : 1;
}
