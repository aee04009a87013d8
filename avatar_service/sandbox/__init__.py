"""Stand-in vendors for development, tests and demonstrations without keys or network.

One local HTTP server speaks the wire protocols of OpenAI and ElevenLabs with small real models behind it, so the
unchanged SDKs work against it through their base URLs. ``app`` has the routes. What stands behind them:

* speech: ``elevenlabs_speech``, ``elevenlabs_socket``, ``speaking``, ``reading``, ``hibari``, ``speech_encoding``
* chat: ``openai_chat``, ``chat_reply``, ``chat_tools``, ``tool_arguments``, ``tool_results``, ``brevity``, ``smollm``
* transcripts: ``openai_transcriptions``, ``transcription_form``, ``whisper``, ``transcript_formats``

Each model runs in a thread of its own (``worker``).
"""
