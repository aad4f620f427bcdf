"""Statistics of results: per person, event and emotion; of groups of persons; and of how two persons move together."""
