"""Which image each kind of event states, and whether it belongs to an account; a test wants every kind here."""

from gateway.documents import replies_events as images
from gateway.documents import replies_public as public
from gateway.documents.replies import Image
from shared.codes import EventKind as K

# Printed inside an order_response, never alone; and no kind at all.
UNTOLD = frozenset({K.NONE, K.BATCH_RESULT})
OF_ACCOUNT: dict[K, type[Image]] = {
    K.ORDER_RESPONSE: images.Response,
    K.ORDER_CHANGED: images.Order,
    K.CLOSED_ORDER: images.ClosedOrder,
    K.FILL: images.Fill,
    K.POSITION_CHANGED: images.Position,
    K.CLOSED_POSITION: images.ClosedPosition,
    K.ACCOUNT_CHANGED: images.Balance,
    K.LEDGER: images.LedgerLeg,
    K.TRIGGER_FIRED: images.TriggerFired,
    K.LIQUIDATION: images.Liquidation,
    K.DEFICIT: images.Deficit,
    K.ACCOUNT_OPENED: images.AccountOpened,
    K.ACCOUNT_MARKET_CHANGED: images.LeverageImage,
    K.FUNDING: images.FundingPaid,
    K.MARGIN_CALL: images.MarginCall,
    K.ADL: images.Deleveraged,
    K.ACCOUNT_GUARDS_CHANGED: images.Guards,
}
OF_VENUE: dict[K, type[Image]] = {
    K.TRADE: public.Trade,
    K.CANDLE: public.Candle,
    K.FUNDING_SETTLED: public.FundingSettled,
    K.FUNDING_SKIPPED: public.FundingSkipped,
    K.MARKET_CHANGED: public.Market,
    K.VENUE_CHANGED: public.VenueChanged,
    K.INSURANCE_CHANGED: public.InsuranceChanged,
}
IMAGES: dict[K, type[Image]] = OF_ACCOUNT | OF_VENUE
