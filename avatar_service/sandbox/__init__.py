"""Stand-in vendors for development, tests and demonstrations without keys or network.

One local HTTP server speaks the wire protocols of OpenAI and ElevenLabs with small real models behind it, so the
unchanged SDKs work against it through their base URLs. See ``app`` for the routes and
``brevity`` for how long replies are.
"""
