// Parts of the page that are loaded when they are first shown; after an update of the venue the old ones are gone.

import { html, useEffect, useState } from './html.js';
import { toast } from './toasts.js';

/**
 * Returns a component that stands for one of a module that is loaded once it is drawn.
 * @param {() => Promise<any>} load such as () => import('./sessions.js') @param {string} name of the component in it
 */
export function lazy(load, name) {
  let loaded = null;
  return function Lazy(props) {
    const [part, put] = useState(() => loaded);
    const [failed, put_failed] = useState(false);
    useEffect(() => {
      if (part) return;
      load().then(
        (module) => {
          loaded = module[name];
          put(() => loaded);
        },
        () => put_failed(true),
      );
    }, []);
    if (failed) return html`<${Outdated} />`;
    return part ? html`<${part} ...${props} />` : html`<p class="empty" role="status">Loading…</p>`;
  };
}

/**
 * Returns a function that loads the module which holds it when it is first called.
 * @param {() => Promise<any>} load @param {string} name of the function in it
 */
export function deferred(load, name) {
  return async (...given) => {
    try {
      return (await load())[name](...given);
    } catch (error) {
      reportError(error);
      const text = 'The venue was updated, or is away for a moment. Load the page anew.';
      toast({ kind: 'warn', title: 'This could not be opened', text, key: 'outdated' });
      return null;
    }
  };
}

/** Says that this page is older than the venue, or that it cannot be reached, with a button that loads it anew. */
function Outdated() {
  return html`<div class="empty stack" role="alert">
    <p>This part could not be loaded: the venue was updated, or is away for a moment.</p>
    <p><button type="button" class="btn" onClick=${() => location.reload()}>Load the page anew</button></p>
  </div>`;
}
