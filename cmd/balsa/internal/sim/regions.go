package sim

import "time"

// geography is a set of places and the round trips between them. A cluster of n members is at the first n of them.
type geography struct {
	name   string
	places []string
	// trips are the round trips in milliseconds, above the diagonal: trips[i][j] is that between the places i and i+1+j.
	trips [][]int
}

// geographies are regions of Microsoft Azure. The round trips are those that Microsoft publishes in "Azure network round-trip latency statistics"
// (learn.microsoft.com/azure/networking/azure-network-latency, the table of 30 July 2026): the 95th percentile over the 30 days before, in
// milliseconds, from the region that stands first to the other. The way back differs by a few milliseconds, which is left out here.
var geographies = []geography{
	{
		name:   "Europe",
		places: []string{"West Europe", "France Central", "Germany West Central", "North Europe", "Switzerland North", "Spain Central", "Italy North"},
		trips: [][]int{
			{15, 14, 19, 20, 30, 28},
			{14, 22, 18, 21, 26},
			{28, 12, 30, 21},
			{32, 35, 40},
			{29, 12},
			{39},
		},
	},
	{
		name:   "the world",
		places: []string{"East US", "West US 2", "West Europe", "Japan East", "Brazil South", "Southeast Asia", "Australia East"},
		trips: [][]int{
			{75, 89, 165, 119, 229, 207},
			{153, 103, 179, 165, 180},
			{242, 191, 182, 282},
			{275, 74, 105},
			{337, 298},
			{98},
		},
	},
}

// roundTrips is the full matrix of the first n places.
func (g *geography) roundTrips(n int) [][]time.Duration {
	m := make([][]time.Duration, n)
	for i := range m {
		m[i] = make([]time.Duration, n)
	}
	for i := range n {
		for j := i + 1; j < n; j++ {
			m[i][j] = time.Duration(g.trips[i][j-i-1]) * time.Millisecond
			m[j][i] = m[i][j]
		}
	}
	return m
}
