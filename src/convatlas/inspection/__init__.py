"""Looking inside a network: activations, filters, attribution. A network and images in, arrays out."""
