package document

import (
	"math/big"

	"invoicer/invoice/decimal"
)

// rat returns a number as a fraction.
func rat(d Decimal) *big.Rat {
	return new(big.Rat).SetFrac(d.Int(new(big.Int)), scale(decimal.Places))
}

func scale(decimals int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)
}

// rounded returns a fraction with that many decimals, rounded half away from zero. What doesn't fit a Decimal is 0: no amount of a stored
// invoice is that big.
func rounded(r *big.Rat, decimals int) Decimal {
	n := new(big.Int).Mul(r.Num(), scale(decimals))
	n.Mul(n, big.NewInt(2))
	if r.Sign() < 0 {
		n.Sub(n, r.Denom())
	} else {
		n.Add(n, r.Denom())
	}
	n.Quo(n, new(big.Int).Mul(r.Denom(), big.NewInt(2)))
	if !n.IsInt64() {
		return Decimal{}
	}
	return decimal.New(n.Int64(), decimals)
}

// value is what a quantity costs at a price, exactly.
func value(quantity, price Decimal, per *Decimal) *big.Rat {
	v := new(big.Rat).Mul(rat(quantity), rat(price))
	if per != nil && !per.IsZero() {
		v.Quo(v, rat(*per))
	}
	return v
}

// priceOf returns the price at which a quantity comes to a net amount: with as many decimals as it takes to come to just that amount
// when it is rounded as the amount is, or to two decimals if the currency has fewer: PEPPOL-EN16931-R120 allows 0.02 of difference.
func priceOf(net, quantity Decimal, per *Decimal, exponent int) Decimal {
	if quantity.IsZero() {
		return Decimal{}
	}
	exact := new(big.Rat).Quo(rat(net), rat(quantity))
	if per != nil && !per.IsZero() {
		exact.Mul(exact, rat(*per))
	}
	half := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Mul(big.NewInt(2), scale(max(exponent, 2))))
	var price Decimal
	for decimals := net.Decimals(); decimals <= decimal.Places; decimals++ {
		tried := rounded(exact, decimals)
		if tried.IsZero() && exact.Sign() != 0 {
			continue
		}
		price = tried
		off := value(quantity, price, per)
		if off.Sub(off, rat(net)).Abs(off).Cmp(half) < 0 {
			break
		}
	}
	return price
}
