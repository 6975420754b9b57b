"""The stream of events: followed, told with what is known of each, and chosen from."""
