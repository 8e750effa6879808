// The order ticket: what is to be traded, what it would do, and one button that sends it once.

import { now_ms } from '../clock.js';
import { useFeed } from '../feed.js';
import { coin, money, price, quantity } from '../format.js';
import { html, useEffect, useState } from '../html.js';
import { shallow, store, useStore } from '../store.js';
import { uuidv7 } from '../uuid.js';
import { code_words } from '../words.js';
import { useBusy } from './act_button.js';
import { Leverage, leverage_of } from './leverage.js';
import { Check, Choice, Field } from './ticket_field.js';
import { brackets, form_new, form_read, KINDS, kind_of, reduces } from './ticket_form.js';
import { remember, remembered } from './ticket_memory.js';
import { Advanced, field_focus, KindChoice, useTicketKeys, useWish } from './ticket_choices.js';
import { PreviewView, usePreview } from './ticket_preview.js';
import { question_of, ticket_send } from './ticket_send.js';
import { SizeFields } from './ticket_size.js';
import { BracketFields, TriggerFields, stepper } from './ticket_triggers.js';

const TOUCH_MS = 1000; // how often what is shown of a moving entry price is renewed
const PRESSED_MS = 600; // a second press within it is the same double click
const EMPTY = {
  size: 'Enter a size',
  price: 'Enter a price',
  trigger: 'Enter a trigger price',
  trail: 'Enter how far it trails',
  take: 'Enter a take-profit or a stop-loss',
};
const forms = new Map(); // market -> its fields, as they were left

/** The order ticket of the selected market. */
export function Ticket() {
  const market = useStore((state) => state.market);
  const known = useStore((state) => Boolean(state.markets[state.market]));
  return html`<section class="ticket" aria-label="Order ticket" data-test="ticket" data-market=${market}>
    ${known ? html`<${TicketForm} key=${market} market=${market} />` : html`<p class="empty">Reading the market…</p>`}
  </section>`;
}

/** The ticket's fields, figures and button. */
function TicketForm({ market }) {
  const [form, put_form] = useState(() => forms.get(market) ?? form_new(remembered(market)));
  const put = (patch) =>
    put_form((before) => {
      const form = { ...before, ...patch };
      forms.set(market, form);
      return form;
    });
  const config = useStore((state) => state.markets[market]);
  const set = useStore((state) => leverage_of(state, market), shallow);
  const acting = useStore((state) => state.acting);
  const touch = useTouch(market);
  const meant = form_read(form, terms_of(config, touch, set));
  const question = meant.known ? question_of(meant) : null;
  const shown = usePreview(question, `${acting} ${set.leverage} ${set.mode}`, market);
  const current = question !== null && shown.key === JSON.stringify(question);
  const [tried, put_tried] = useState(false);
  const told = tried ? with_missing(meant) : meant;
  const [busy, run] = useBusy();
  useTicketKeys(form, put);
  useWish(form, put);

  async function press(event) {
    event.preventDefault();
    if (!meant.ready) {
      put_tried(true);
      return field_focus(Object.keys(meant.errors)[0] ?? meant.missing[0]);
    }
    return run(async () => {
      const began_ms = performance.now();
      remember(market, { kind: form.kind, unit: form.size.unit, leverage: form.leverage });
      await ticket_send(meant, shown, uuidv7(now_ms()), config.lot);
      await new Promise((resolve) => setTimeout(resolve, PRESSED_MS - (performance.now() - began_ms)));
    });
  }

  return html`<form class="ticket-form" novalidate onSubmit=${press} onKeyDown=${form_key} data-side=${form.side}>
    <${Sides} form=${form} put=${put} />
    <${KindChoice} form=${form} put=${put} />
    <${Leverage} market=${market} ticket=${form.ticket} own=${form.leverage} put_own=${(leverage) => put({ leverage })} />
    <${Fields} form=${form} meant=${told} market=${market} tick=${config.tick} put=${put}
      answer=${current ? shown.answer : null} />
    <${Options} form=${form} put=${put} market=${market} />
    ${brackets(form) && html`<${BracketFields} form=${form} meant=${told} tick=${config.tick} put=${put} />`}
    <${Advanced} form=${form} meant=${meant} put=${put} />
    <${Submit} form=${form} meant=${meant} market=${market} answer=${current ? shown.answer : null} busy=${busy} />
    <${PreviewView} shown=${shown} asked=${question !== null} current=${current} tick=${config.tick} />
  </form>`;
}

/** Lets Enter send from fields and the button only, and once however long it is held; Escape leaves a field. */
function form_key(event) {
  const choosing = ['checkbox', 'range'].includes(event.target.type);
  if (event.key === 'Enter' && (event.repeat || choosing)) event.preventDefault();
  if (event.key === 'Escape' && event.target.matches('input, select')) {
    event.preventDefault();
    event.target.blur();
  }
}

/** Returns what the fields are read by: the market's steps, its touch, the leverage in force. */
function terms_of({ market, tick, lot }, { bid, ask }, { leverage }) {
  return { market, tick, lot, bid, ask, leverage };
}

/** Returns the bid and ask of a market, renewed each second only: each change draws the whole ticket. */
function useTouch(market) {
  const read = () => {
    const { bid, ask } = store.get().tickers[market] ?? {};
    return { bid, ask };
  };
  const [touch, put] = useState(read);
  useEffect(() => {
    const look = () => put((before) => (shallow(before, read()) ? before : read()));
    const timer = setInterval(look, TOUCH_MS);
    return () => clearInterval(timer);
  }, [market]);
  return touch;
}

/** Returns what the fields mean with the empty ones named as wrong: once somebody has pressed the button. */
function with_missing(meant) {
  const empty = Object.fromEntries(meant.missing.map((name) => [name, `${EMPTY[name] ?? 'Fill this in'}.`]));
  return { ...meant, errors: { ...empty, ...meant.errors } };
}

/** Buy or sell. */
function Sides({ form, put }) {
  return html`<${Choice}
    name="side"
    label="Side"
    value=${form.side}
    put=${(side) => put({ side })}
    choices=${[
      { value: 'buy', words: '▲ Buy / Long', style: 'seg-buy', title: 'Key b' },
      { value: 'sell', words: '▼ Sell / Short', style: 'seg-sell', title: 'Key s' },
    ]}
  />`;
}

/** Price, trigger and size. */
function Fields({ form, meant, market, tick, put, answer }) {
  const { needs } = KINDS[kind_of(form)];
  const put_price = (typed) => put({ price: typed });
  function put_touch() {
    const { bid, ask } = store.get().tickers[market] ?? {};
    const touch = form.side === 'buy' ? bid : ask;
    if (touch) put_price(touch);
  }
  return html`<${Available} />
    <${TriggerFields} form=${form} meant=${meant} tick=${tick} put=${put} />
    ${needs.includes('price') &&
    html`<${Field}
      name="price"
      label="Limit price"
      value=${form.price}
      required
      put=${put_price}
      step=${stepper(form.price, tick, put_price)}
      error=${meant.errors.price}
      note=${meant.notes.price}
      unit=${html`<button type="button" class="btn btn-small" data-test="ticket-price-touch" onClick=${put_touch}
        title="The best price on this side">${form.side === 'buy' ? 'Bid' : 'Ask'}</button>`}
    />`}
    <${SizeFields} form=${form} meant=${meant} market=${market} answer=${answer} put=${put} />`;
}

/** What the account may still put into orders. */
function Available() {
  const available = useStore((state) => state.valuation?.account?.available ?? state.account.free);
  return html`<p class="ticket-available">
    <span class="dim">Available</span>
    <span data-test="ticket-available" title=${available}>${money(available)} USDC</span>
  </p>`;
}

/** What may go along with the order. */
function Options({ form, put, market }) {
  const alone = form.ticket ? 'A separate ticket opens a position of its own.' : '';
  const resting = !KINDS[kind_of(form)].at_market;
  return html`<div class="ticket-options">
    <${Check} name="bracket" label="TP / SL" title="Take-profit and stop-loss of the position" value=${form.bracket}
      why=${reduces(form) ? 'An order that only reduces opens nothing to protect.' : ''} put=${(bracket) => put({ bracket })} />
    <${Check} name="reduce-only" label="Reduce-only" title=${`Only shrinks your ${coin(market)} position`}
      value=${form.reduce_only} why=${alone} put=${(reduce_only) => put({ reduce_only })} />
    ${resting &&
    html`<${Check} name="post-only" label="Post-only" title="Rests in the book or is refused; never takes"
      value=${form.post_only} put=${(post_only) => put({ post_only })} />`}
  </div>`;
}

/** The one button, which says what it does; pressed too early it says what is missing. */
function Submit({ form, meant, market, answer, busy }) {
  const feed = useFeed(market);
  const refused = answer && answer.result !== 'OK' ? answer.result : '';
  const fresh = feed.state === 'fresh';
  return html`<button
    type="submit"
    class=${`btn btn-block ticket-submit ${form.side === 'buy' ? 'btn-buy' : 'btn-sell'}`}
    data-test="ticket-submit"
    data-state=${busy ? 'busy' : !meant.ready ? 'incomplete' : !fresh ? 'stale' : refused ? 'refused' : 'ready'}
    aria-disabled=${!meant.ready || busy ? 'true' : 'false'}
    aria-busy=${busy ? 'true' : 'false'}
    aria-describedby="ticket-refusal"
  >
    <span class="ticket-submit-what">${submit_words(form, meant, market, answer)}</span>
    <span class="ticket-submit-how">${busy ? 'Sending…' : how_words(form, meant, fresh ? '' : feed.sentence, refused)}</span>
  </button>`;
}

/** Returns what the button does in words: "▲ Buy / Long 0.5 BTC". */
function submit_words(form, meant, market, answer) {
  const buys = form.side === 'buy';
  const verb = reduces(form) ? (buys ? 'Buy to reduce' : 'Sell to reduce') : buys ? 'Buy / Long' : 'Sell / Short';
  const qty = meant.body.qty ?? answer?.size?.qty;
  const share = meant.size?.percent ? `${meant.size.percent} %` : meant.size?.usd ? `${price(meant.size.usd)} USD` : '';
  const what = qty ? `${quantity(qty)} ${coin(market)}` : [coin(market), share].filter(Boolean).join(' · ');
  return `${buys ? '▲' : '▼'} ${verb} ${what}`;
}

/** Returns the button's second line: what is missing, what stands in the way, or what kind of order it is. */
function how_words(form, meant, stale, refused) {
  const wrong = Object.keys(meant.errors)[0];
  if (wrong) return `Correct the ${FIELD_WORDS[wrong] ?? wrong} first`;
  if (meant.missing.length) return EMPTY[meant.missing[0]] ?? 'Fill in what is missing';
  if (stale) return stale;
  if (refused) return `Would be refused: ${code_words(refused).toLowerCase()}`;
  const { body } = meant;
  const kind = form.ticket ? 'Separate ticket at market' : KINDS[form.kind].words;
  const woken = body.price_trigger ? ` at ${price(body.price_trigger)}` : '';
  const limit = body.price ? `${woken ? ', limit' : ' at'} ${price(body.price)}` : '';
  const protection = [body.take_profit && 'TP', body.stop_loss && 'SL'].filter(Boolean).join(' and ');
  return `${kind}${woken}${limit}${protection && ` · with ${protection}`}`;
}

const FIELD_WORDS = { take: 'take-profit', stop: 'stop-loss', trail: 'trailing distance', trigger: 'trigger price' };
