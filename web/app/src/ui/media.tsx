/** Pictures and sound of a call, put into elements. */

import { useEffect, useRef } from "preact/hooks";
import { useApp } from "./app.tsx";

/** A picture; hidden until its first frame is there. */
export function Picture({ track, mirrored, label }: { track: MediaStreamTrack; mirrored?: boolean; label: string }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const element = video.current;
    if (!element) return;
    element.srcObject = new MediaStream([track]);
    element.play().catch(() => {});
    return () => {
      element.srcObject = null;
    };
  }, [track]);
  const seen = (event: Event) => (event.currentTarget as HTMLElement).classList.add("seen");
  return (
    <video
      ref={video}
      class={mirrored ? "mirrored" : ""}
      aria-label={label}
      onLoadedData={seen}
      onPlaying={seen}
      muted
      playsInline
      autoplay
    />
  );
}

/** The sound of the others: one element for each audio slot. */
export function Voices() {
  const { model } = useApp();
  void model.mediaVersion.value;
  const tracks = model.media.value?.audioTracks() ?? [];
  return (
    <div class="voices">
      {tracks.map((track) => (
        <Voice key={track.id} track={track} />
      ))}
    </div>
  );
}

function Voice({ track }: { track: MediaStreamTrack }) {
  const { model, actions } = useApp();
  const audio = useRef<HTMLAudioElement>(null);
  const silent = model.speakerOff.value;
  const blocked = model.soundBlocked.value;
  useEffect(() => {
    const element = audio.current;
    if (!element) return;
    element.srcObject = new MediaStream([track]);
    return () => {
      element.srcObject = null;
    };
  }, [track]);
  useEffect(() => {
    const element = audio.current;
    if (!element || blocked) return;
    element.muted = silent;
    element.play().catch((error: Error) => error.name === "NotAllowedError" && actions.soundBlocked());
  }, [track, silent, blocked, actions]);
  // biome-ignore lint/a11y/useMediaCaption: live speech has no captions yet
  return <audio ref={audio} data-testid="voice" />;
}
