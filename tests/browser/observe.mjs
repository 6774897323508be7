// Runs in each page before the page's own code: remembers its peer connections and its tones, and counts its rings. It
// changes nothing.

export function observe() {
  const observed = { connections: [], rings: 0, tones: [] };
  window.observed = observed;

  const Connection = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Connection {
    constructor(...options) {
      super(...options);
      observed.connections.push(this);
    }
  };

  /** In hertz, as they were begun. */
  const { start } = OscillatorNode.prototype;
  OscillatorNode.prototype.start = function (...when) {
    observed.tones.push(this.frequency.value);
    return start.apply(this, when);
  };

  const RING = "[data-testid=incoming]";
  const isRing = (node) => node instanceof Element && (node.matches(RING) || node.querySelector(RING) !== null);
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) observed.rings += [...addedNodes].filter(isRing).length;
  }).observe(document, { childList: true, subtree: true });

  /** The sum of one field of the statistics of all connections that stand. */
  observed.total = async (type, kind, field) => {
    const standing = observed.connections.filter(({ connectionState }) => connectionState === "connected");
    const reports = await Promise.all(standing.map((connection) => connection.getStats()));
    return reports
      .flatMap((report) => [...report.values()])
      .filter((each) => each.type === type && each.kind === kind)
      .reduce((sum, each) => sum + (each[field] ?? 0), 0);
  };
}
