package sample

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

type product struct {
	sku         string
	description string
	pence       int
}

// catalogue returns 2,000 made-up products, and some of them a second time under a code in lower case.
func catalogue(r *rand.Rand) []product {
	products := make([]product, 0, 2100)
	for i := range 2000 {
		p := product{sku: strconv.Itoa(20000 + 37*i), description: describe(r), pence: pick(r, prices)}
		if r.IntN(5) < 2 {
			p.sku += pick(r, []string{"A", "B", "C", "D", "L", "BL"})
			if r.IntN(16) == 0 {
				twin := p
				twin.sku = strings.ToLower(p.sku)
				products = append(products, twin)
			}
		}
		products = append(products, p)
	}
	r.Shuffle(len(products), func(a, b int) { products[a], products[b] = products[b], products[a] })
	return products
}

// describe returns a description as the shop's clerks typed them, some with stray blanks.
func describe(r *rand.Rand) string {
	words := []string{pick(r, qualities), pick(r, things)}
	switch n := r.IntN(1000); {
	case n < 5:
		words = []string{pick(r, qualities), "&", pick(r, qualities), pick(r, things)}
	case n < 8:
		words = append(words, `7" SINGLE SIZE`)
	case n < 10:
		words = []string{`CHARLIE+LOLA"EXTREMELY BUSY" SIGN`}
	case n < 26:
		words = append(words, "CHILDREN'S")
	case n < 27:
		words = append(words, "£5 VOUCHER")
	}
	separator := " "
	if r.IntN(40) == 0 {
		separator = "  "
	}
	description := strings.Join(words, separator)
	if r.IntN(5) == 0 {
		description += " "
	}
	return description
}

// longest is the number of lines of the longest transaction in the real set.
const longest = 1114

// The numbers of lines of the real set's transactions, as quantiles: of the sales without the longest fortieth, of that fortieth,
// and of the cancellations.
//
//nolint:gochecknoglobals // lists that nothing changes
var (
	salesLengths = []int{
		1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 10, 11, 12, 13, 14, 15,
		16, 17, 19, 20, 21, 22, 24, 25, 27, 29, 31, 34, 38, 42, 47, 54, 65, 79, 131,
	}
	longSalesLengths = []int{131, 140, 152, 164, 180, 198, 220, 260, 344, 480, longest}
	cancelledLengths = []int{1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 18}
)

// prices are the most frequent prices of the real set, in pence, and some high ones.
var prices = []int{ //nolint:gochecknoglobals // a list that nothing changes
	125, 125, 125, 165, 165, 85, 85, 295, 295, 42, 42, 495, 375, 210, 246, 208, 83, 413, 195, 145, 255, 163, 329, 39, 595,
	65, 55, 425, 795, 579, 415, 19, 29, 72, 106, 339, 765, 995, 1275, 1695, 2750, 4995, 16500,
}

// quantities lists each quantity as often as it is to be picked.
var quantities = []int{ //nolint:gochecknoglobals // a list that nothing changes
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 12, 12, 12, 12, 12, 6, 6, 6, 6, 4, 4, 4, 3, 3, 3,
	24, 24, 10, 10, 8, 5, 48, 25, 20, 16, 36, 7, 9, 72, 100, 96, 18, 30, 40,
}

var countries = []string{ //nolint:gochecknoglobals // a list that nothing changes
	"United Kingdom", "Germany", "France", "EIRE", "Belgium", "Spain", "Netherlands", "Switzerland", "Portugal", "Channel Islands",
}

var qualities = []string{ //nolint:gochecknoglobals // a list that nothing changes
	"WHITE", "RED", "PINK", "BLUE", "IVORY", "BLACK", "GREEN", "RED RETROSPOT", "VINTAGE", "ANTIQUE SILVER", "WOODEN", "METAL",
	"GLASS", "PAPER", "FELTCRAFT", "KNITTED", "REGENCY", "SET OF 3", "SET/6", "PACK OF 12", "MINI", "JUMBO", "LARGE", "SMALL",
	"HANGING", "UNION JACK", "POLKA DOT", "STRAWBERRY", "PAISLEY PARK", "ALPHABET",
}

var things = []string{ //nolint:gochecknoglobals // a list that nothing changes
	"T-LIGHT HOLDER", "LANTERN", "COAT HANGER", "HOT WATER BOTTLE", "NESTING BOXES", "HAND WARMER", "BIRD ORNAMENT", "CAKESTAND",
	"LUNCH BAG", "SHOPPER BAG", "PARTY BUNTING", "CAKE CASES", "DOORMAT", "ALARM CLOCK", "PHOTO FRAME", "TEA TOWEL", "MUG",
	"JAM JAR", "KEY RING", "NECKLACE", "WALL CLOCK", "PLASTERS IN TIN", "TISSUES", "GREETING CARD", "GIFT WRAP", "HEART DECORATION",
	"CHRISTMAS WREATH", "STORAGE BOX", "WATERING CAN", "BREAKFAST TRAY", "CUSHION COVER", "PENCIL CASE", "DRAWER KNOB", "SIGN",
}
