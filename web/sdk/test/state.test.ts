import { describe, expect, test } from "vitest";
import { rosterChanges } from "../src/call/roster-changes.ts";
import { type CallEvent, type CallState, incoming, outgoing, progressOf, reduce, resumed } from "../src/call/state.ts";
import type { DownBody } from "../src/wire.ts";
import { envelope, join, member, ring, roster, T0 } from "./fixtures.ts";

const down = (body: DownBody, more = {}): CallEvent => ({ ...envelope, atMs: T0, ...more, ...body }) as CallEvent;
const run = (state: CallState, ...events: CallEvent[]) => events.reduce(reduce, state);

const aliceCalls = outgoing("alice", "m1", ["bob"], "video");
const bobRings = incoming("bob", ring());
const alone = roster(1, member("alice", "in"), member("bob", "invited"));
const both = roster(4, member("alice", "in"), member("bob", "in"));
const admittedAlone = down({ type: "admitted", join: join(), roster: alone });

describe("calling", () => {
  test("is calling until another one is in, though the caller is admitted at once", () => {
    expect(run(aliceCalls, admittedAlone)).toMatchObject({ phase: "calling", admitted: true });
  });

  test("an offline callee is shown with the moment until which it rings", () => {
    const state = run(aliceCalls, admittedAlone, down({ type: "waiting", user: "bob", untilMs: T0 + 45_000 }));
    expect(progressOf(state, "bob")).toEqual({ type: "waiting", untilMs: T0 + 45_000 });
  });

  test("ringing is what the device has said, not that something was sent", () => {
    expect(progressOf(run(aliceCalls, admittedAlone), "bob")).toEqual({ type: "calling" });
    expect(progressOf(run(aliceCalls, down({ type: "ringing", user: "bob" })), "bob")).toEqual({ type: "ringing" });
  });

  test("is joined at accepted, and its time begins", () => {
    const state = run(aliceCalls, admittedAlone, down({ type: "accepted", user: "bob" }));
    expect(state).toMatchObject({ phase: "joined", joinedAtMs: T0 });
  });

  test("is joined too if only a roster tells of the answer", () => {
    expect(run(aliceCalls, admittedAlone, down({ type: "roster", ...both })).phase).toBe("joined");
  });

  test("a path that is lost over and over is the same state, of which nobody is told again", () => {
    const lost = run(aliceCalls, { type: "local_path", path: "lost" });
    expect(run(lost, { type: "local_path", path: "lost", atMs: T0 })).toBe(lost);
  });

  test.each([
    [{ type: "rejected", user: "bob", reason: "declined" } as const, { type: "rejected", reason: "declined" }],
    [{ type: "busy", user: "bob" } as const, { type: "busy" }],
  ])("%o stays to be seen when the roster goes on", (signal, progress) => {
    const state = run(aliceCalls, admittedAlone, down(signal), down({ type: "roster", ...alone, rev: 3 }));
    expect(progressOf(state, "bob")).toEqual(progress);
  });

  test("the end of one callee's ring is not the end of a meeting that goes on", () => {
    const state = run(aliceCalls, admittedAlone, down({ type: "ended", user: "bob", rev: 3, reason: "no_answer" }));
    expect(state.phase).toBe("calling");
    expect(progressOf(state, "bob")).toEqual({ type: "over", reason: "no_answer" });
  });

  test("two who call each other meet in the first one's meeting", () => {
    const state = run(aliceCalls, down({ type: "admitted", join: join(), roster: both }, { meeting: "m0" }));
    expect(state).toMatchObject({ meeting: "m0", phase: "joined" });
  });
});

describe("an invitation in mid-call", () => {
  const joined = run(aliceCalls, admittedAlone, down({ type: "roster", ...both }));
  const invited = run(joined, { type: "local_invite", users: ["carol"] });
  const refused = down({ type: "refused", code: "limit", words: "too many" });

  test("that was refused, or did not get away, rings nobody", () => {
    expect(invited.progress.carol).toEqual({ type: "calling" });
    for (const event of [refused, { type: "local_not_invited" } as const]) {
      expect(run(invited, event).progress.carol).toBeUndefined();
    }
  });

  test("is over if the state answer does not know it any more", () => {
    const known = roster(5, ...both.members, member("carol", "invited"));
    const rung = run(invited, down({ type: "roster", ...known }));
    const after = run(rung, { type: "local_admitted", meeting: "m1", roster: { ...both, rev: 7 } });
    expect(after.progress.carol).toBeUndefined();
  });

  test("outlives the refusal of something else once the roster knows it", () => {
    const known = roster(5, ...both.members, member("carol", "invited"));
    expect(run(invited, down({ type: "roster", ...known }), refused).progress.carol).toEqual({ type: "calling" });
  });
});

describe("being called", () => {
  test("connected is shown only after admitted", () => {
    const accepting = run(bobRings, { type: "local_accept" });
    expect(accepting.phase).toBe("accepting");
    expect(run(accepting, down({ type: "roster", ...both })).phase).toBe("accepting");
    expect(run(accepting, down({ type: "admitted", join: join(), roster: both })).phase).toBe("joined");
  });

  test.each(["cancelled", "answered_elsewhere", "no_answer", "caller_gone"] as const)(
    "an accept loses against %s",
    (reason) => {
      const state = run(bobRings, { type: "local_accept" }, down({ type: "ended", rev: 5, reason }));
      expect(state).toMatchObject({ phase: "ended", end: { reason } });
    },
  );

  test("nothing brings an ended call back", () => {
    const state = run(bobRings, down({ type: "ended", rev: 5, reason: "cancelled" }));
    expect(run(state, down({ type: "admitted", join: join(), roster: both }))).toBe(state);
  });
});

describe("in a call", () => {
  const joined = run(aliceCalls, admittedAlone, down({ type: "roster", ...both }));

  test("a roster of a lower revision is older news", () => {
    expect(run(joined, down({ type: "roster", ...alone })).roster.members).toEqual(both.members);
  });

  test("the host's mute is lifted by the person, a block is not", () => {
    const hushed = run(
      joined,
      down({ type: "muted", track: "audio", by: "alice" }),
      down({ type: "blocked", track: "audio", blocked: true, by: "alice" }),
    );
    const unmuted = run(hushed, { type: "local_mute", track: "audio", muted: false });
    expect([unmuted.muted.audio, unmuted.blocked.audio]).toEqual([false, true]);
  });

  test("a mute from before the roster that is known counts if that one knows it too", () => {
    const muted = (rev: number) => down({ type: "muted", track: "audio", by: "alice" }, { rev });
    const knows = roster(6, member("alice", "in", { muted: { audio: true } }), member("bob", "in"));
    const now = run(joined, down({ type: "roster", ...knows }));
    expect(run(now, muted(5)).muted.audio).toBe(true);
    const since = run(now, down({ type: "roster", ...both, rev: 7 }));
    expect([run(since, muted(5)).muted.audio, run(since, muted(7)).muted.audio]).toEqual([false, true]);
  });

  test("changes of the roster are put in, in order, and not over a gap", () => {
    const change = (base: number, rev: number, more: object) =>
      down({ type: "roster_changed", base, rev, host: "bob", ...more } as DownBody);
    const carol = member("carol", "in");
    const after = run(joined, change(4, 6, { members: [carol] }), change(5, 7, { gone: ["bob"] }));
    expect(after.roster).toEqual({ rev: 7, host: "bob", members: [both.members[0], carol] });
    expect(run(after, change(8, 9, { gone: ["carol"] }), change(4, 7, { gone: ["carol"] }))).toBe(after);
  });

  test("a roster knows of a block whose signal was lost", () => {
    const blocked = roster(6, member("alice", "in", { blocked: { audio: true } }), member("bob", "in"));
    expect(run(joined, down({ type: "roster", ...blocked })).blocked.audio).toBe(true);
  });

  test("it is known who has blocked it, until the block is lifted", () => {
    const block = (by: string, blocked: boolean) => down({ type: "blocked", track: "audio", blocked, by });
    const blocked = run(joined, block(":operator", true));
    expect(blocked.blockedBy).toEqual({ audio: ":operator" });
    expect(run(blocked, block("alice", false)).blockedBy.audio).toBeUndefined();
    const still = roster(6, member("alice", "in", { blocked: { audio: true } }), member("bob", "in"));
    expect(run(blocked, down({ type: "roster", ...still })).blockedBy.audio).toBe(":operator");
    expect(run(blocked, down({ type: "roster", ...both, rev: 6 })).blockedBy.audio).toBeUndefined();
  });

  test("a wish to unmute stands until it is answered", () => {
    const asked = run(joined, down({ type: "unmute_asked", track: "audio", by: "bob" }));
    expect(asked.asked.audio).toBe("bob");
    expect(run(asked, { type: "local_asked_answered", track: "audio" }).asked.audio).toBeUndefined();
  });

  test("goes on after a reload as ringing whom it rings", () => {
    const rings = roster(4, member("alice", "in"), member("bob", "ringing"));
    const state = resumed("alice", { meeting: "m1", media: "video", here: true, roster: rings, join: join() });
    expect(Object.keys(state.progress)).toEqual(["bob"]);
    expect(progressOf(state, "bob")).toEqual({ type: "ringing" });
  });

  test("goes on after a reload with what was muted", () => {
    const muted = roster(4, member("alice", "in", { muted: { audio: true } }), member("bob", "in"));
    const state = resumed("alice", { meeting: "m1", media: "video", here: true, roster: muted, join: join() });
    expect(state).toMatchObject({ phase: "joined", admitted: true, muted: { audio: true, video: false } });
  });
});

describe("what a person is told of a roster", () => {
  const bob = (state: Parameters<typeof member>[1]) => roster(1, member("alice", "in"), member("bob", state));

  test.each([
    ["ringing", "joining", "joined"],
    ["in", "lost", "lost"],
    ["lost", "in", "back"],
  ] as const)("%s → %s is %s", (before, after, type) => {
    expect(rosterChanges(bob(before), bob(after), "alice")).toEqual([{ type, user: "bob", name: "Bob" }]);
  });

  test("who is no longer there has left", () => {
    const changes = rosterChanges(bob("in"), roster(2, member("alice", "in")), "alice");
    expect(changes).toEqual([{ type: "left", user: "bob", name: "Bob" }]);
  });

  test("nobody is told of oneself", () => {
    expect(rosterChanges(roster(1), roster(2, member("alice", "in")), "alice")).toEqual([]);
  });
});
