package amounts_test

import (
	"fmt"

	"invoicer/invoice/amounts"
	"invoicer/invoice/decimal"
)

// Two articles at prices with tax, and a voucher that is shared over their rates.
func ExampleCalculate() {
	at := func(percent int64) amounts.Terms {
		return amounts.Terms{Taxes: []amounts.Tax{{Code: "VAT", Category: "S", Percent: decimal.New(percent, 0)}}}
	}
	result, problems := amounts.Calculate(&amounts.Document{
		Exponent: 2, Prices: amounts.Gross,
		Lines: []amounts.Line{
			{Quantity: decimal.New(2, 0), UnitPrice: decimal.New(4999, 2), Terms: at(19)},
			{Quantity: decimal.New(1, 0), UnitPrice: decimal.New(1295, 2), Terms: at(7)},
		},
		Allowances: []amounts.Adjustment{{Amount: decimal.New(10, 0)}},
	})
	for _, p := range problems {
		fmt.Println(p.Field, p.Message)
	}
	for _, row := range result.Taxes {
		fmt.Println(row.Code, row.Percent, "% of", row.Net, "is", row.Tax)
	}
	fmt.Println("total", result.Total)
	// Output:
	// VAT 7 % of 1103 is 77
	// VAT 19 % of 7658 is 1455
	// total 10293
}

// A total that isn't the expected one is a problem, like any bad field.
func ExampleCalculate_expectedTotal() {
	expected := decimal.New(100, 0)
	_, problems := amounts.Calculate(&amounts.Document{
		Exponent:      2,
		Lines:         []amounts.Line{{Quantity: decimal.New(1, 0), UnitPrice: decimal.New(10001, 2)}},
		ExpectedTotal: &expected,
	})
	for _, p := range problems {
		fmt.Println(p.Field, p.Message)
	}
	// Output: expected_total is 100.00, but the total comes to 100.01, a difference of 0.01
}
