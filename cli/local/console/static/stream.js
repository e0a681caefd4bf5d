// The live stream. The browser connects again by itself, and the server goes on where the page was.

const SECONDS = [1, 2, 5];

export function listen({ onHello, onItems, onState, onUp, onDown }) {
  let tries = 0;
  const open = () => {
    const source = new EventSource("/_local/console/events");
    source.addEventListener("open", () => {
      tries = 0;
      onUp();
    });
    source.addEventListener("hello", (event) => onHello(JSON.parse(event.data)));
    source.addEventListener("requests", (event) => onItems(JSON.parse(event.data)));
    source.addEventListener("state", (event) => onState(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      onDown();
      if (source.readyState !== EventSource.CLOSED) return;
      // It gives up by itself when something else answers on the port.
      source.close();
      setTimeout(open, 1000 * SECONDS[Math.min(tries++, SECONDS.length - 1)]);
    });
  };
  open();
}
