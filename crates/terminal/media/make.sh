#!/bin/sh
# Makes the test media of this folder: for each person a moving picture with its frame number burnt in
# (VP8 in IVF, a key frame each second) and a spoken text (Opus in Ogg, 20 ms frames).
# Usage: sh make.sh. Installs ffmpeg, espeak-ng and a font if they are missing (Debian, Ubuntu).
set -eu
cd "$(dirname "$0")"

FONT=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf
if ! command -v ffmpeg >/dev/null || ! command -v espeak-ng >/dev/null || ! [ -f "$FONT" ]; then
    SUDO=""; [ "$(id -u)" = 0 ] || SUDO=sudo
    $SUDO apt-get install -y ffmpeg espeak-ng fonts-dejavu-core
fi

SECONDS_LONG=4
FPS=15

# picture NAME HUE: the hue turns the colours, so that people can be told apart at a glance.
picture() {
    ffmpeg -nostdin -loglevel error -y \
        -f lavfi -i "testsrc2=size=320x180:rate=$FPS:duration=$SECONDS_LONG" \
        -vf "hue=h=$2,drawtext=fontfile=$FONT:fontsize=28:fontcolor=white:box=1:boxcolor=black@0.7:boxborderw=6:x=12:y=40:text='$1 %{frame_num}'" \
        -c:v libvpx -threads 1 -deadline good -cpu-used 2 -b:v 280k -maxrate 400k -bufsize 400k \
        -g "$FPS" -keyint_min "$FPS" -auto-alt-ref 0 -error-resilient 1 \
        -fflags +bitexact -flags:v +bitexact "$1.ivf"
}

# speech NAME VOICE TEXT
speech() {
    espeak-ng -v "$2" -s 150 --stdout "$3" |
        ffmpeg -nostdin -loglevel error -y -f wav -i pipe:0 \
            -af "apad=whole_dur=$SECONDS_LONG" -t "$SECONDS_LONG" -ac 1 -ar 48000 \
            -c:a libopus -b:a 32k -vbr on -frame_duration 20 -application voip \
            -fflags +bitexact -flags:a +bitexact "$1.ogg"
}

picture alice 0
picture bob 120
picture carol 240
speech alice en-gb+f3 "This is Alice. I call you from the first picture. Can you hear me, and do you see the number?"
speech bob en-us+m3 "Bob here. I was away when you rang, and still my phone rang once. The line is clear."
speech carol en-gb-scotland+f4 "Hello, Carol speaking. You invited me in the middle of the call, and here I am."
ls -l ./*.ivf ./*.ogg
