package check

import (
	"fmt"
	"strings"

	"invoicer/invoice/document/node"
)

// onlyOnce makes a finding of each element that may stand once and stands again, since only the first one was read. What may stand more often is
// only ignored.
func (r *reading) onlyOnce(root *node.Node) {
	root.Repeated(func(path string) {
		parent, name := "", path
		if at := strings.LastIndexByte(path, '/'); at >= 0 {
			parent, name = path[:at], path[at+1:]
		}
		rule, once := onceInUBL(name)
		if r.Syntax == CII {
			rule, once = onceInCII(parent, name)
		}
		if once {
			r.find(rule, "", onDocument, fmt.Sprintf("%s stands more than once, and only the first one was looked at", path))
		}
	})
}

// onceInUBL reports whether an element may stand once, and by which rule. The others are those that are read once and that the schema doesn't limit.
func onceInUBL(name string) (rule string, once bool) {
	switch name {
	case "InvoicePeriod", "DespatchDocumentReference", "ReceiptDocumentReference", "OriginatorDocumentReference", "ContractDocumentReference", "ProjectReference",
		"Delivery", "PaymentMeans", "PaymentTerms", "PaymentID", "PartyName", "PartyTaxScheme", "PartyLegalEntity", "AddressLine", "OrderLineReference", "Note",
		"Description", "DescriptionCode", "AllowanceCharge", "AllowanceChargeReason", "TaxCategory", "TaxExemptionReason":
		return "", false
	}
	return "XSD", true
}

// onceInCII is onceInUBL for CII, whose schema limits no amount: rules do.
func onceInCII(parent, name string) (rule string, once bool) {
	switch name {
	case "BusinessProcessSpecifiedDocumentContextParameter", "GuidelineSpecifiedDocumentContextParameter", "SpecifiedTradePaymentTerms",
		"SpecifiedTradeSettlementPaymentMeans", "ReceivableSpecifiedTradeAccountingAccount", "DirectDebitMandateID", "Content", "Description",
		"DefinedTradeContact", "URIUniversalCommunication", "CountrySubDivisionName", "AppliedTradeTax", "AppliedAmount":
		return "", false
	case "ID", "GlobalID":
		return "XSD", !strings.HasSuffix(parent, "TradeParty")
	case "Name":
		return "XSD", !strings.HasSuffix(parent, "SpecifiedTradeProduct")
	case "ChargeAmount":
		return "CII-SR-439", true
	case "ActualAmount":
		return "CII-SR-440", true
	case "PaymentReference":
		return "CII-SR-469", true
	case "CategoryTradeTax":
		return "CII-SR-472", true
	}
	if !strings.HasSuffix(parent, "SpecifiedTradeSettlementHeaderMonetarySummation") {
		switch name {
		case "LineTotalAmount", "BasisAmount", "CalculatedAmount": // EN 16931 has each once, and no rule says so
			return "", true
		}
		return "XSD", true
	}
	return map[string]string{
		"LineTotalAmount": "CII-SR-477", "ChargeTotalAmount": "CII-SR-478", "AllowanceTotalAmount": "CII-SR-479", "TaxBasisTotalAmount": "CII-SR-480",
		"RoundingAmount": "CII-SR-481", "GrandTotalAmount": "CII-SR-482", "TotalPrepaidAmount": "CII-SR-484", "DuePayableAmount": "CII-SR-487",
	}[name], true
}

// misplaced takes out each element that is in the wrong one of UBL's two namespaces, so that none is read in the place of the right one.
func (r *reading) misplaced(root *node.Node) {
	root.Prune(func(n *node.Node) bool {
		aggregate := n.Space() == oasis+aggregates
		elements := len(n.Children("")) > 0
		if aggregate && (elements || n.Value() == "") || !aggregate && !elements {
			return true
		}
		space, has := aggregates, "a text"
		if elements {
			space, has = basics, "elements"
		}
		r.find("XSD", "", onDocument, fmt.Sprintf("%s is in the namespace %s, and has %s: it wasn't looked at", shortened(n.Name()), space, has))
		return false
	})
}
