"""From pictures to what the engine renders: faces, boxes, masks, latents."""
