// A market's name as people write it.

/** Returns "SOL-USDC" for "SOL_USDC_PERP". */
export function market_words(market) {
  return String(market ?? '').replace(/_PERP$/, '').replaceAll('_', '-');
}
